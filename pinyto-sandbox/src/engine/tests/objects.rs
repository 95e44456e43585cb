//! `request`, `db` and `factory`.

use super::*;

const BODY: &str =
    r#"{"isbn": "9783", "n": 123456789012345678901234567890, "list": [1, {"a": null}]}"#;

fn with_body(code: &str) -> Value {
    let finished = run_with(code, BODY, &mut Script::default());
    serde_json::from_str(&finished.outcome.unwrap()).unwrap()
}

#[test]
fn the_request_has_its_body_its_parsed_form_and_the_caller() {
    assert_eq!(
        with_body(
            "return [request.user, request.POST.get('isbn'), request.POST.get('no'), request.POST['isbn'], 'isbn' in request.POST]"
        ),
        json!(["jana", "9783", null, "9783", true])
    );
    assert_eq!(
        with_body(
            "return [json.loads(request.body) == request.json, type(request.body).__name__, len(request.body), json.loads(str(request.body, encoding='utf-8'))['list']]"
        ),
        json!([true, "bytes", BODY.len(), [1, {"a": null}]])
    );
    assert_eq!(
        run_with("return request.json['n'] + 1", BODY, &mut Script::default()).outcome,
        Ok("123456789012345678901234567891".to_owned())
    );
    assert_eq!(
        with_body(
            "request.json['list'].append(2)\nname = 'json'\nreturn [request.json['list'], getattr(request, 'us' + 'er'), hasattr(request, 'token')]"
        ),
        json!([[1, {"a": null}, 2], "jana", false])
    );
    assert_eq!(
        raised("return request.POST['isbn']"),
        ("KeyError".to_owned(), "'isbn'".to_owned(), Some(1))
    );
    assert_eq!(raised("request.token").0, "AttributeError");
}

#[test]
fn a_request_without_a_body_has_no_fields() {
    let code = "return [len(request.body), request.json, request.POST.get('x')]";
    let finished = run_with(code, "", &mut Script::default());
    assert_eq!(finished.outcome, Ok("[0,{},null]".to_owned()));
}

#[test]
fn arguments_are_bound_as_python_binds_them() {
    let mut script = Script::default();
    let code = "
db.find({'type': 'book'}, limit=42)
db.find({'type': 'book'}, 1, 2, 'data.x', sort_direction='desc')
db.find_documents(query={})
db.find_document_for_id('65f0')
db.find_distinct({}, 'tags')
db.count({})
db.insert({'a': (1, 2.0), 'b': None})
db.save(document={})
db.remove({})
http = factory.create('Http')
http.get('http://example.org')
http.post('http://example.org', {'a': 'b'})
look = db.count
look({'x': 1})
";
    run_with(code, "{}", &mut script).outcome.unwrap();
    assert_eq!(
        script.calls,
        [
            (
                Service::Find,
                json!({"query": {"type": "book"}, "limit": 42})
            ),
            (
                Service::Find,
                json!({"query": {"type": "book"}, "skip": 1, "limit": 2, "sorting": "data.x", "sort_direction": "desc"})
            ),
            (Service::Find, json!({"query": {}})),
            (Service::FindDocumentForId, json!({"id": "65f0"})),
            (
                Service::FindDistinct,
                json!({"query": {}, "attribute": "tags"})
            ),
            (Service::Count, json!({"query": {}})),
            (
                Service::Insert,
                json!({"document": {"a": [1, 2.0], "b": null}})
            ),
            (Service::Save, json!({"document": {}})),
            (Service::Remove, json!({"document": {}})),
            (Service::HttpGet, json!({"url": "http://example.org"})),
            (
                Service::HttpPost,
                json!({"url": "http://example.org", "data": {"a": "b"}})
            ),
            (Service::Count, json!({"query": {"x": 1}})),
        ]
    );
}

#[test]
fn wrong_arguments_are_type_errors_like_pythons() {
    for (code, message) in [
        (
            "db.find()",
            "find() missing 1 required positional argument: 'query'",
        ),
        (
            "db.find({}, 1, 2, 3, 4, 5)",
            "find() takes from 1 to 5 positional arguments but 6 were given",
        ),
        (
            "db.count()",
            "count() missing 1 required positional argument: 'query'",
        ),
        (
            "db.count({}, {})",
            "count() takes 1 positional argument but 2 were given",
        ),
        (
            "db.find({}, query={})",
            "find() got multiple values for argument 'query'",
        ),
        (
            "db.find({}, limits=1)",
            "find() got an unexpected keyword argument 'limits'",
        ),
        (
            "db.find_distinct()",
            "find_distinct() missing 2 required positional arguments: 'query' and 'attribute'",
        ),
        (
            "db.insert({'a': {1}})",
            "insert(): document: Object of type set is not JSON serializable",
        ),
        (
            "db.insert({'a': b'x'})",
            "insert(): document: Object of type bytes is not JSON serializable",
        ),
        (
            "db.insert({'a': db})",
            "insert(): document: Object of type Db is not JSON serializable",
        ),
        (
            "db.insert({'a': len})",
            "insert(): document: Object of type builtin_function_or_method is not JSON serializable",
        ),
        (
            "db.insert({(1, 2): 3})",
            "insert(): document: keys must be str, int, float, bool or None, not tuple",
        ),
        (
            "factory.create()",
            "create() missing 1 required positional argument: 'name'",
        ),
        ("factory.create(5)", "create(): name must be str, not int"),
        (
            "factory.create('ParseHtml')",
            "create(\"ParseHtml\", html) takes exactly the text of a page",
        ),
        (
            "factory.create('ParseHtml', b'')",
            "create(\"ParseHtml\", html): html must be str, not bytes",
        ),
    ] {
        let expected = ("TypeError".to_owned(), message.to_owned(), Some(1));
        assert_eq!(raised(code), expected, "{code}");
    }
    assert_eq!(raised("db.drop()").1, "'Db' object has no attribute 'drop'");
    assert_eq!(
        raised("factory.create('Http').put('x')").0,
        "AttributeError"
    );
    let (kind, message, _) = raised("factory.create('Docker')");
    assert_eq!(kind, "ValueError");
    assert!(message.contains("\"Docker\""), "{message}");
}

#[test]
fn dates_are_rfc_3339_texts_for_services_and_refused_in_answers() {
    let mut script = Script::default();
    let code = "
from datetime import datetime, timezone, timedelta, date
db.insert({'at': [datetime(2024, 1, 2, 3, 4, 5), datetime(2024, 1, 2, 3, 4, 5, 60, timezone.utc), datetime(2024, 1, 2, tzinfo=timezone(timedelta(hours=-3, minutes=-30))), date(2024, 1, 2)]})
return datetime(2024, 1, 2)";
    let finished = run_with(code, "{}", &mut script);
    assert!(
        matches!(finished.outcome, Err(CodeError::Exception { kind, .. }) if kind == "TypeError")
    );
    assert_eq!(
        script.calls[0].1["document"]["at"],
        json!([
            "2024-01-02T03:04:05Z",
            "2024-01-02T03:04:05.000060Z",
            "2024-01-02T00:00:00-03:30",
            "2024-01-02"
        ])
    );
}

#[test]
fn what_a_service_refuses_is_an_exception_that_can_be_caught() {
    let refusals = [
        ("KeyError", "no _id"),
        ("LookupError", "none such"),
        ("PermissionError", "not allowed"),
        ("SomethingElse", "odd"),
    ];
    let mut script = Script {
        answers: refusals
            .iter()
            .map(|(exception, message)| {
                Err(Refusal::Raise {
                    exception: (*exception).to_owned(),
                    message: (*message).to_owned(),
                })
            })
            .collect(),
        ..Script::default()
    };
    let code = "
out = []
for i in range(4):
    try:
        db.save({})
    except (KeyError, LookupError, PermissionError, RuntimeError) as e:
        out.append([type(e).__name__, e.args[0]])
return out";
    let finished = run_with(code, "{}", &mut script);
    assert_eq!(
        finished.outcome,
        Ok(r#"[["KeyError","no _id"],["LookupError","none such"],["PermissionError","not allowed"],["RuntimeError","odd"]]"#.to_owned())
    );
}

#[test]
fn services_can_be_called_wherever_python_code_runs() {
    let count = |n| json!(n);
    let mut script = Script::answering((0..14).map(count));
    let code = "
def rank(x): return db.count({'x': x})
class Counter:
    def __init__(self): self.n = db.count({})
    def more(self): return self.n + db.count({})
out = [[rank(x) for x in 'ab'], f'{rank(1)}', sorted('ab', key=rank, reverse=True), max('ab', key=rank),
    list(map(rank, 'a')), list(filter(rank, 'a')), (lambda: rank(1))(), Counter().more()]
try:
    raise ValueError(rank(2))
except ValueError as e:
    out.append(str(e))
return out";
    let finished = run_with(code, "{}", &mut script);
    assert_eq!(
        finished.outcome,
        Ok(r#"[[0,1],"2",["b","a"],"b",[7],["a"],9,21,"12"]"#.to_owned())
    );
}

#[test]
fn print_goes_to_the_log_and_ends_at_its_limit() {
    let mut script = Script::default();
    let finished = run_with(
        "print('é', 1, [2], sep='-', end='.')\nprint()\nreturn 1",
        "{}",
        &mut script,
    );
    assert_eq!(
        (finished.outcome, finished.truncated),
        (Ok("1".to_owned()), false)
    );
    assert_eq!(script.printed, "é-1-[2].\n");

    let bounds = limits(|limits| limits.output = 6);
    let mut script = Script::default();
    let finished = Engine::new().run(
        "print('ab')\nprint('ééé')\nprint('more')",
        "{}",
        "jana",
        &bounds,
        &mut script,
    );
    assert_eq!(
        (finished.outcome, finished.truncated),
        (Ok("null".to_owned()), true)
    );
    assert_eq!(script.printed, "ab\né");
}

#[test]
fn pages_are_looked_through_in_place() {
    let code = r#"
html = """<div id="main"><p class="a b">Some <b>text</b></p>
<table><tr><td>Author:</td><td>Jane  Doe</td></tr><tr><td>Year</td><td>1999</td></tr></table></div>"""
page = factory.create("ParseHtml", html)
other = factory.create("ParseHtml", "<p>other</p>")
main = {"tag": "div", "attrs": {"id": "main"}}
contains = other.contains
return [
    page.contains(main), page.contains([main, {"tag": "p", "attrs": {}}]), contains(main),
    page.find_element_and_get_attribute_value([main], "id"),
    page.find_element_and_get_attribute_value(descriptions={"tag": "p", "attrs": {}}, attribute="class"),
    page.find_element_and_get_attribute_value(main, "nothing"),
    page.find_element_and_collect_table_like_information(
        [{"tag": "table", "attrs": {}}, {"tag": "tbody", "attrs": {}}, {"tag": "tr", "attrs": {}}],
        {"author": {"captions": ["Author:"]}, "year": {"captions": ["Year"]}}),
    page.contains(5), page.contains([]),
]"#;
    assert_eq!(
        returned(code),
        json!([
            true,
            true,
            false,
            "main",
            ["a", "b"],
            "",
            {"author": "Jane Doe", "year": "1999"},
            false,
            false
        ])
    );
    assert_eq!(
        raised("factory.create('ParseHtml', '').drop()").0,
        "AttributeError"
    );
}
