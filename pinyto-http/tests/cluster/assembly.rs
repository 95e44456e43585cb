//! The assembly that all clients use.

use serde_json::{Value, json};

use super::witness::RAN;

/// The author of the assembly that all of them use.
pub(crate) const AUTHOR: &str = "author";

/// What the assembly's code is.
pub(crate) fn source() -> Value {
    let job = format!("db.insert({{'type': '{RAN}', 'data': {{'job': '%'}}}})\nreturn {{}}");
    let functions = [
        (
            "add",
            "return {'_id': db.insert({'type': 'note', 'data': request.json['data']})}",
        ),
        (
            "change",
            "note = db.find_document_for_id(request.json['id'])\nnote['data'] = request.json['data']\n\
            db.save(note)\nreturn {}",
        ),
        (
            "remove",
            "db.remove({'_id': request.json['id']})\nreturn {}",
        ),
        (
            "later",
            "return {'_id': db.insert({'type': 'job', 'data': {'assembly_user': 'author', \
            'assembly_name': 'Cluster', 'job_name': 'work'}})}",
        ),
        (
            "page",
            "return {'notes': [[n['_id'], n['data']] for n in db.find({'type': 'note'}, \
            skip=request.json['skip'], limit=500, sorting='_id')]}",
        ),
    ];
    let functions = functions.map(|(name, code)| json!({"name": name, "code": code}));
    let jobs = [("once", 0), ("work", 0), ("every_minute", 1)];
    let jobs = jobs.map(|(name, schedule)| {
        json!({"name": name, "code": job.replace('%', name), "schedule": schedule})
    });
    json!({"name": "Cluster", "description": "", "api_functions": functions, "jobs": jobs})
}
