//! From the text of a function to what the interpreter runs.

use monty::MontyRun;
use monty_types::{AssertMessageAnnotations, CompileOptions, OsPolicy, SleepMode};
use pinyto_core::runtime::CodeError;
use ruff_python_ast::{Mod, Stmt};
use ruff_python_parser::{Mode, ParseOptions, parse_unchecked};
use ruff_text_size::TextSize;

use super::{
    depth, failure,
    inspect::{self, Findings},
    modules::{self, HIDDEN_FUNCTIONS, IN_SCOPE},
    supplement::Prefix,
    wrap,
};

/// Code that can be run.
pub(super) struct Compiled {
    /// The program; a run takes a copy.
    pub(super) program: MontyRun,
    /// Where the author's text is in it.
    pub(super) place: Place,
    /// What names of ours begin with in it.
    pub(super) prefix: Prefix,
    /// Whether it looks at the parsed request.
    pub(super) reads_json: bool,
    /// Why it can't be saved although it can be run.
    pub(super) objection: Option<CodeError>,
}

/// Where the author's lines are in the text that the interpreter sees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    lines: u32,
}

impl Place {
    /// The author's number of a line; `None` for a line of ours.
    pub(super) fn line(self, line: u32) -> Option<u32> {
        line.checked_sub(wrap::LINES_BEFORE)
            .filter(|line| (1..=self.lines).contains(line))
    }

    /// The author's number of the line at `at`, the nearest one of hers if it is none.
    fn nearest(self, text: &str, at: TextSize) -> u32 {
        let before = text.get(..at.to_usize()).unwrap_or(text);
        let line = u32::try_from(before.matches('\n').count() + 1).unwrap_or(u32::MAX);
        line.saturating_sub(wrap::LINES_BEFORE).clamp(1, self.lines)
    }
}

pub(super) fn compile(code: &str) -> Result<Compiled, CodeError> {
    let code = wrap::normalize(code);
    let place = Place {
        lines: wrap::count_lines(&code),
    };
    if !depth::is_bounded(&code) {
        return Err(syntax("the code is nested too deeply", None));
    }
    let prefix = Prefix::beside(&code);
    let function = prefix.name(wrap::FUNCTION);
    let text = wrap::define(&code, &function);
    let findings = parse(&text, &function, place, &prefix)?;
    let mut objection = None;
    for refused in &findings.refused {
        let line = place.nearest(&text, refused.at);
        let error = syntax(refused.message.clone(), Some(line));
        if !refused.raises {
            return Err(error);
        }
        objection.get_or_insert(error);
    }
    let program = complete(&text, &function, &findings, &prefix);
    let inputs = wrap::PARAMETERS.map(str::to_owned).to_vec();
    let options = CompileOptions {
        assert_message_annotations: AssertMessageAnnotations::Off,
        ..CompileOptions::default()
    };
    let program = MontyRun::new(program, "assembly", inputs, options)
        .map_err(|exception| failure::of_compilation(&exception, &place))?
        .with_os_policy(OsPolicy {
            sleep: SleepMode::CallHost,
            ..OsPolicy::default()
        });
    let reads = |name: &str| findings.attributes.contains(name);
    Ok(Compiled {
        program,
        place,
        prefix,
        reads_json: reads("json") || reads("POST"),
        objection,
    })
}

fn syntax(message: impl Into<String>, line: Option<u32>) -> CodeError {
    CodeError::syntax(message).at_line(line)
}

fn parse(text: &str, function: &str, place: Place, prefix: &Prefix) -> Result<Findings, CodeError> {
    let parsed = parse_unchecked(text, ParseOptions::from(Mode::Module));
    if let Some(error) = parsed.errors().first() {
        let line = place.nearest(text, error.location.start());
        return Err(syntax(error.error.to_string(), Some(line)));
    }
    // The body is all there is: none of it has got out of the function.
    match parsed.syntax() {
        Mod::Module(module) => match module.body.as_slice() {
            [Stmt::FunctionDef(defined)] if defined.name.as_str() == function => {
                Ok(inspect::inspect(text, &defined.body, prefix))
            }
            _ => Err(syntax("the indentation is wrong", None)),
        },
        Mod::Expression(_) => Err(syntax("the indentation is wrong", None)),
    }
}

/// The whole program: the function with what was rewritten, what it needs, and its call.
fn complete(text: &str, function: &str, findings: &Findings, prefix: &Prefix) -> String {
    let mut program = String::with_capacity(text.len() + 256);
    let mut rest = 0;
    for (range, replacement) in &findings.edits {
        let (start, end) = (range.start().to_usize(), range.end().to_usize());
        program.push_str(text.get(rest..start).unwrap_or_default());
        program.push_str(replacement);
        rest = end;
    }
    program.push_str(text.get(rest..).unwrap_or_default());
    for module in IN_SCOPE {
        if findings.names.contains(module) {
            program.push_str(&format!("import {module}\n"));
        }
    }
    program.push_str(&prefix.supplement(&findings.supplements));
    for name in HIDDEN_FUNCTIONS {
        if findings.names.contains(name) {
            let message = modules::missing_name(name).unwrap_or_default();
            program.push_str(&format!(
                "def {name}(*args, **kwargs): raise NameError({message:?})\n"
            ));
        }
    }
    let parameters = wrap::PARAMETERS.join(", ");
    program.push_str(&format!("{function}({parameters})\n"));
    program
}
