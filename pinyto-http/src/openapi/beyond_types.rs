//! What the types that are read and written don't tell about the JSON.

use serde_json::{Value, json};

use super::calls::calls;

/// Schemas with a field that has two names.
const ALIASES: &[(&str, &str, &str)] = &[
    ("Register", "public_key", "key_data"),
    ("RegisterNewKey", "public_key", "key_data"),
    ("KeyserverRegister", "username", "name"),
    ("KeyserverAuthenticate", "username", "name"),
];

/// Answers that share a type with requests, which may leave fields out.
const ANSWERS: &[(&str, &str)] = &[("AssemblyData", "AssemblyAnswer"), ("JobData", "JobAnswer")];

pub(super) fn complete(document: &mut Value) {
    let schemas = &mut document["components"]["schemas"];
    tokens(schemas);
    aliases(schemas);
    schemas["PublicKeyNumbers"]["properties"]["e"]["type"] = json!(["string", "integer"]);
    answers(schemas);
    descriptions(schemas);
    let listed = &mut document["paths"]["/list_own_assemblies"]["post"]["responses"]["200"];
    listed["content"]["application/json"]["schema"]["items"] = reference("AssemblyAnswer");
    headers(document);
}

/// Who asks is read apart from what for, so only `OnlyToken` has the field by itself.
fn tokens(schemas: &mut Value) {
    let token = schemas["OnlyToken"]["properties"]["token"].clone();
    for call in calls().iter().filter(|call| call.needs_session) {
        if let Some(request) = &call.request {
            schemas[request]["properties"]["token"] = token.clone();
        }
    }
}

fn aliases(schemas: &mut Value) {
    for (schema, field, alias) in ALIASES {
        let schema = &mut schemas[schema];
        let mut described = schema["properties"][field].clone();
        described["description"] =
            format!("Another name of `{field}`; one of them is sent.").into();
        schema["properties"][alias] = described;
        if let Some(required) = schema["required"].as_array_mut() {
            required.retain(|name| name != field);
        }
        schema["anyOf"] = json!([{"required": [field]}, {"required": [alias]}]);
    }
    // The one field that can be there instead of another.
    if let Some(either) = schemas["RegisterNewKey"]["anyOf"].as_array_mut() {
        either.push(json!({"required": ["openpgp_key"]}));
    }
}

/// Fields that an answer has only where there is something to tell.
const SOMETIMES: &[(&str, &str)] = &[
    ("AssemblyAnswer", "indexes"),
    ("AssemblyAnswer", "http_hosts"),
    ("Failure", "exception"),
    ("Registered", "challenge"),
    ("KeyEntry", "proven"),
    ("KeyEntry", "user_ids"),
    ("KeyEntry", "algorithm"),
    ("KeyEntry", "expires"),
];

/// An answer has all its fields, but for [`SOMETIMES`].
fn answers(schemas: &mut Value) {
    for (both, answer) in ANSWERS {
        schemas[answer] = schemas[both].clone();
    }
    for holder in ["AssemblyAnswer", "SourceAnswer"] {
        schemas[holder]["properties"]["jobs"]["items"] = reference("JobAnswer");
    }
    let members = schemas.as_object_mut().into_iter().flatten();
    let is_answer = |name: &str| {
        let others = ["KeyEntry", "Success", "Failure", "Exception"];
        name.ends_with("Answer") || others.contains(&name)
    };
    for (answer, schema) in members.filter(|(name, _)| is_answer(name)) {
        let fields = schema["properties"].as_object().into_iter().flatten();
        let fields = fields.map(|(name, _)| name.as_str());
        schema["required"] = fields
            .filter(|field| !SOMETIMES.contains(&(answer, field)))
            .collect();
    }
}

/// What is said about a field that may be null stands at its other form; it belongs to the field.
fn descriptions(schemas: &mut Value) {
    for (_, schema) in schemas.as_object_mut().into_iter().flatten() {
        let fields = schema["properties"].as_object_mut().into_iter().flatten();
        for (_, field) in fields {
            let forms = field["oneOf"].as_array_mut().into_iter().flatten();
            let described = forms
                .filter_map(|form| form.as_object_mut()?.remove("description"))
                .next();
            if let Some(description) = described {
                field["description"] = description;
            }
        }
    }
}

fn headers(document: &mut Value) {
    document["components"]["headers"] = json!({
        "RequestId": {
            "description": "The request's id in the server's log: the client's own, if it sent one of 1 to 64 ASCII letters, digits, `-`, `_` and `.`, else a new one.",
            "schema": {"type": "string"},
        },
        "RetryAfter": {
            "description": "So many seconds have to pass before another try can succeed.",
            "schema": {"type": "integer", "minimum": 0},
        },
    });
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for (_, item) in paths {
        for (_, operation) in item.as_object_mut().into_iter().flatten() {
            let answers = operation["responses"].as_object_mut().into_iter().flatten();
            for (status, answer) in answers {
                answer["headers"]["X-Request-Id"] =
                    json!({"$ref": "#/components/headers/RequestId"});
                if matches!(status.as_str(), "429" | "503") {
                    answer["headers"]["Retry-After"] =
                        json!({"$ref": "#/components/headers/RetryAfter"});
                }
            }
        }
    }
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}
