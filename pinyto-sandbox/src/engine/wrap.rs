//! Makes a Python function of a function's body without changing what the body says.
//!
//! Each line that begins outside of a string gets one tab in front. A tab is the one indentation
//! that keeps the relation of all others: it moves every column by eight and every count of
//! characters by one. Lines inside of strings stay as they are.

use std::borrow::Cow;

use ruff_python_ast::token::TokenKind;
use ruff_python_parser::{Mode, lexer::lex};

/// The name of the function that is made, behind the prefix of ours.
pub(super) const FUNCTION: &str = "assembly";

/// The parameters of that function.
pub(super) const PARAMETERS: [&str; 3] = ["request", "db", "factory"];

/// Line ends as Python reads them, and no byte order mark.
pub(super) fn normalize(code: &str) -> Cow<'_, str> {
    let code = code.strip_prefix('\u{feff}').unwrap_or(code);
    if code.contains('\r') {
        Cow::Owned(code.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        Cow::Borrowed(code)
    }
}

/// How many lines an author counts in a text.
pub(super) fn count_lines(code: &str) -> u32 {
    u32::try_from(code.lines().count())
        .unwrap_or(u32::MAX)
        .max(1)
}

/// The lines of [`define`]'s text before the body.
pub(super) const LINES_BEFORE: u32 = 1;

/// The text that defines the function.
pub(super) fn define(code: &str, name: &str) -> String {
    let lines = look_through(code);
    let mut module = String::with_capacity(code.len() + lines.starts.len() + 64);
    module.push_str("def ");
    module.push_str(name);
    module.push('(');
    module.push_str(&PARAMETERS.join(", "));
    module.push_str("):\n");
    let mut rest = 0;
    for start in lines.starts {
        // A form feed sets the indentation back to nothing, so the tab comes after it.
        let white = code[start..]
            .bytes()
            .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\x0c'))
            .count();
        let feed = code[start..start + white].rfind('\x0c');
        let at = feed.map_or(start, |feed| start + feed + 1);
        module.push_str(&code[rest..at]);
        module.push('\t');
        rest = at;
    }
    module.push_str(&code[rest..]);
    // Two, so that a backslash at the end of the body can't reach the next line of ours.
    module.push_str("\n\n");
    if lines.empty {
        module.push_str("\tpass\n");
    }
    module
}

/// What [`define`] has to know of a text.
struct Lines {
    /// Where the lines begin that need indentation: those that don't begin inside of a string and
    /// don't continue the line before after a backslash.
    starts: Vec<usize>,
    /// Whether there is no statement.
    empty: bool,
}

fn look_through(code: &str) -> Lines {
    let (mut strings, mut comment_ends) = (Vec::new(), Vec::new());
    let mut lexer = lex(code, Mode::Module);
    let (mut depth, mut outermost, mut empty) = (0_u32, 0, true);
    loop {
        let kind = lexer.next_token();
        let range = lexer.current_range();
        let (start, end) = (range.start().to_usize(), range.end().to_usize());
        empty &= matches!(
            kind,
            TokenKind::Comment
                | TokenKind::Newline
                | TokenKind::NonLogicalNewline
                | TokenKind::EndOfFile
        );
        match kind {
            TokenKind::String if depth == 0 => strings.push(start..end),
            TokenKind::FStringStart | TokenKind::TStringStart => {
                if depth == 0 {
                    outermost = start;
                }
                depth += 1;
            }
            TokenKind::FStringEnd | TokenKind::TStringEnd => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    strings.push(outermost..end);
                }
            }
            TokenKind::Comment => comment_ends.push(end),
            TokenKind::EndOfFile => break,
            _ => {}
        }
    }
    let mut strings = strings.into_iter().peekable();
    let mut comment_ends = comment_ends.into_iter().peekable();
    let mut starts = Vec::new();
    if !code.is_empty() {
        starts.push(0);
    }
    for (at, _) in code.match_indices('\n') {
        while strings.next_if(|string| string.end <= at).is_some() {}
        while comment_ends.next_if(|end| *end < at).is_some() {}
        let in_string = strings.peek().is_some_and(|string| string.contains(&at));
        let after_comment = comment_ends.peek() == Some(&at);
        let continued = !after_comment && at > 0 && code.as_bytes()[at - 1] == b'\\';
        if !in_string && !continued && at + 1 < code.len() {
            starts.push(at + 1);
        }
    }
    Lines { starts, empty }
}
