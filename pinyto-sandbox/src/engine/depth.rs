//! Keeps texts away from the parser whose trees would be too deep to take apart again.
//!
//! The interpreter bounds what its parser nests, but `1+1+1+...` and `a.b.c...` are flat as texts
//! and deep as trees: each operator holds all that is on its left.

use monty::source_within_nesting_bound;
use ruff_python_ast::token::TokenKind;
use ruff_python_parser::{Mode, lexer::lex};

/// A text of no more bytes than this is not looked at: nothing in it can be too deep.
const SHORT: usize = 4 * 1024;

/// How many operators, members and calls may follow one another. The interpreter takes 200.
const MAX_CHAIN: u32 = 1000;

/// Whether a text can be parsed.
pub(super) fn is_bounded(code: &str) -> bool {
    code.len() <= SHORT || (source_within_nesting_bound(code, SHORT) && chains_are_bounded(code))
}

fn chains_are_bounded(code: &str) -> bool {
    let mut lexer = lex(code, Mode::Module);
    // For each open bracket how long the chain around it was.
    let mut around = Vec::new();
    let mut chain = 0;
    loop {
        let kind = lexer.next_token();
        match kind {
            TokenKind::EndOfFile => return true,
            TokenKind::Lpar | TokenKind::Lsqb | TokenKind::Lbrace => {
                around.push(chain + 1);
                chain = 0;
            }
            TokenKind::Rpar | TokenKind::Rsqb | TokenKind::Rbrace => {
                chain = around.pop().unwrap_or(0);
            }
            TokenKind::Comma | TokenKind::Newline | TokenKind::Semi | TokenKind::Colon => chain = 0,
            TokenKind::Dot
            | TokenKind::Plus
            | TokenKind::Minus
            | TokenKind::Star
            | TokenKind::Slash
            | TokenKind::DoubleSlash
            | TokenKind::Percent
            | TokenKind::At
            | TokenKind::Vbar
            | TokenKind::Amper
            | TokenKind::CircumFlex
            | TokenKind::LeftShift
            | TokenKind::RightShift
            | TokenKind::DoubleStar => chain += 1,
            _ => {}
        }
        if chain > MAX_CHAIN {
            return false;
        }
    }
}
