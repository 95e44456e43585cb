//! The description as a page, made from the document that programs get.

use std::fmt::{self, Write};

use bytes::Bytes;
use serde_json::Value;

use crate::page::{Escaped, whole};

/// The page that shows `document`.
pub(super) fn render(document: &Value) -> Bytes {
    let mut main = String::new();
    // Writing to a string can't fail.
    let _ = Page(document).write(&mut main);
    whole("Pinyto: the calls", &main)
}

struct Page<'a>(&'a Value);

impl Page<'_> {
    fn write(&self, out: &mut String) -> fmt::Result {
        let info = &self.0["info"];
        write!(
            out,
            "<h1>{} <small>{}</small></h1>",
            Escaped(text(&info["title"])),
            Escaped(text(&info["version"]))
        )?;
        markdown(out, text(&info["description"]))?;
        let prefix = text(&self.0["servers"][0]["url"]);
        for tag in list(&self.0["tags"]) {
            let name = text(&tag["name"]);
            write!(
                out,
                "\n<h2 id=\"{0}\">{0}</h2>\n<p>{1}</p>",
                Escaped(name),
                Escaped(text(&tag["description"]))
            )?;
            for (path, item) in members(&self.0["paths"]) {
                let path = format!("{prefix}{path}");
                for (method, operation) in members(item) {
                    if list(&operation["tags"]).iter().any(|tag| tag == name) {
                        self.operation(out, &path, method, operation)?;
                    }
                }
            }
        }
        self.errors(out)
    }

    fn operation(&self, out: &mut String, path: &str, method: &str, of: &Value) -> fmt::Result {
        write!(
            out,
            "\n<h3 id=\"{}\"><span class=\"method\">{}</span><code>{}</code></h3>\n<p>{}</p>",
            Escaped(text(&of["operationId"])),
            Escaped(&method.to_uppercase()),
            Escaped(path),
            Escaped(text(&of["summary"]))
        )?;
        markdown(out, text(&of["description"]))?;
        let request = &of["requestBody"]["content"]["application/json"]["schema"];
        if !request.is_null() {
            out.push_str("<p>Takes:</p>");
            self.schema(out, request)?;
        }
        for (status, answer) in members(&of["responses"]) {
            if status != "200" {
                continue;
            }
            write!(
                out,
                "<p>Gives: {}</p>",
                Escaped(text(&answer["description"]))
            )?;
            for (_, content) in members(&answer["content"]) {
                self.schema(out, &content["schema"])?;
            }
        }
        let failures: Vec<String> = members(&of["responses"])
            .filter(|(status, _)| *status != "200")
            .map(|(status, answer)| {
                let codes = text(&answer["description"]).lines();
                let codes = codes.filter_map(|line| line.strip_prefix('`')?.split('`').next());
                let codes: Vec<String> = codes
                    .map(|code| format!("<a href=\"#error-{code}\"><code>{code}</code></a>"))
                    .collect();
                format!("{status} {}", codes.join(", "))
            })
            .collect();
        if !failures.is_empty() {
            write!(out, "<p>Fails with: {}.</p>", failures.join("; "))?;
        }
        Ok(())
    }

    /// The fields of an object, or of the members of a list.
    fn schema(&self, out: &mut String, schema: &Value) -> fmt::Result {
        let schema = self.resolve(schema);
        if !schema["items"].is_null() {
            out.push_str("<p>A list of:</p>");
            return self.schema(out, &schema["items"]);
        }
        if schema["properties"].is_null() {
            return Ok(());
        }
        out.push_str("<table><tr><th>field</th><th>type</th><th>meaning</th></tr>");
        self.fields(out, "", schema)?;
        out.push_str("</table>");
        Ok(())
    }

    fn fields(&self, out: &mut String, prefix: &str, schema: &Value) -> fmt::Result {
        let required = list(&schema["required"]);
        for (name, field) in members(&schema["properties"]) {
            let path = format!("{prefix}{name}");
            let optional = !required.iter().any(|required| required == name);
            write!(
                out,
                "<tr><td><code>{}</code></td><td>{}{}</td><td>",
                Escaped(&path),
                Escaped(&self.type_of(field)),
                if optional { ", optional" } else { "" },
            )?;
            inline(out, self.description(field))?;
            out.push_str("</td></tr>");
            let inner = self.resolve(field);
            self.fields(out, &format!("{path}."), inner)?;
            self.fields(out, &format!("{path}[]."), self.resolve(&inner["items"]))?;
        }
        Ok(())
    }

    fn type_of(&self, field: &Value) -> String {
        match &self.resolve(field)["type"] {
            Value::String(name) => name.clone(),
            Value::Array(names) => {
                let names: Vec<&str> = names.iter().map(text).collect();
                names.join(" or ")
            }
            _ => "any".to_owned(),
        }
    }

    fn description<'b>(&'b self, field: &'b Value) -> &'b str {
        match text(&field["description"]) {
            "" => text(&self.resolve(field)["description"]),
            described => described,
        }
    }

    /// What a reference stands for; a reference with a description is an `allOf` or `oneOf` of one.
    fn resolve<'b>(&'b self, schema: &'b Value) -> &'b Value {
        for combined in ["allOf", "oneOf"] {
            let reference = list(&schema[combined])
                .iter()
                .find(|s| s["$ref"].is_string());
            if let Some(reference) = reference {
                return self.resolve(reference);
            }
        }
        match text(&schema["$ref"]).strip_prefix('#') {
            Some(pointer) => self.0.pointer(pointer).unwrap_or(&Value::Null),
            None => schema,
        }
    }

    fn errors(&self, out: &mut String) -> fmt::Result {
        out.push_str("\n<h2 id=\"errors\">errors</h2><table><tr><th>code</th><th>status</th><th>meaning</th></tr>");
        for error in list(&self.0["x-errors"]) {
            let code = text(&error["code"]);
            write!(
                out,
                "<tr id=\"error-{0}\"><td><code>{0}</code></td><td>{1}</td><td>{2}</td></tr>",
                Escaped(code),
                error["status"],
                Escaped(text(&error["meaning"]))
            )?;
        }
        out.push_str("</table>");
        Ok(())
    }
}

/// The little of Markdown that the description uses: headings, lists, paragraphs, code.
fn markdown(out: &mut String, source: &str) -> fmt::Result {
    let mut in_list = false;
    for line in source.lines().filter(|line| !line.is_empty()) {
        let item = line.strip_prefix("- ");
        if item.is_some() != in_list {
            out.push_str(if in_list { "</ul>" } else { "<ul>" });
            in_list = !in_list;
        }
        let (tag, content) = match (item, line.strip_prefix("## ")) {
            (Some(item), _) => ("li", item),
            (None, Some(heading)) => ("h2", heading),
            (None, None) => ("p", line),
        };
        write!(out, "\n<{tag}>")?;
        inline(out, content)?;
        write!(out, "</{tag}>")?;
    }
    if in_list {
        out.push_str("</ul>");
    }
    Ok(())
}

/// Text with code between backticks.
fn inline(out: &mut String, source: &str) -> fmt::Result {
    for (index, part) in source.split('`').enumerate() {
        if index % 2 == 1 {
            write!(out, "<code>{}</code>", Escaped(part))?;
        } else {
            write!(out, "{}", Escaped(part))?;
        }
    }
    Ok(())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let members = value.as_object().into_iter().flatten();
    members.map(|(name, value)| (name.as_str(), value))
}
