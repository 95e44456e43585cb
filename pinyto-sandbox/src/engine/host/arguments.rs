//! What code passes to a method.

use monty_types::{CallArgs, ObjectRef};

/// Which argument each parameter gets, as Python decides it.
pub(super) fn bind<'a>(
    method: &str,
    parameters: &[&str],
    required: usize,
    arguments: &'a CallArgs,
) -> Result<Vec<Option<ObjectRef<'a>>>, String> {
    let given = arguments.args().len();
    if given > parameters.len() {
        let takes = if required == parameters.len() {
            required.to_string()
        } else {
            format!("from {required} to {}", parameters.len())
        };
        let plural = if parameters.len() == 1 { "" } else { "s" };
        let were = if given == 1 { "was" } else { "were" };
        return Err(format!(
            "{method}() takes {takes} positional argument{plural} but {given} {were} given"
        ));
    }
    let mut bound: Vec<Option<ObjectRef<'a>>> = arguments.args().map(Some).collect();
    bound.resize(parameters.len(), None);
    for (name, value) in arguments.kwargs() {
        let name = name.as_str().unwrap_or_default();
        let Some(index) = parameters.iter().position(|parameter| *parameter == name) else {
            return Err(format!(
                "{method}() got an unexpected keyword argument '{name}'"
            ));
        };
        if bound[index].replace(value).is_some() {
            return Err(format!(
                "{method}() got multiple values for argument '{name}'"
            ));
        }
    }
    let missing: Vec<String> = parameters[..required]
        .iter()
        .zip(&bound)
        .filter(|(_, value)| value.is_none())
        .map(|(name, _)| format!("'{name}'"))
        .collect();
    if missing.is_empty() {
        return Ok(bound);
    }
    let plural = if missing.len() == 1 { "" } else { "s" };
    Err(format!(
        "{method}() missing {} required positional argument{plural}: {}",
        missing.len(),
        missing.join(" and ")
    ))
}
