//! Parsing with bounds that html5ever itself doesn't have.

use std::cell::{Cell, RefCell};

use ego_tree::Tree;
use html5ever::{
    LocalName, QualName, TokenizerResult,
    interface::{Tracer, TreeSink, create_element},
    local_name, ns,
    tendril::StrTendril,
    tokenizer::{
        BufferQueue, EndTag, StartTag, Tag, Token, TokenSink, TokenSinkResult, Tokenizer,
        TokenizerOpts,
    },
    tree_builder::{TreeBuilder, TreeBuilderOpts},
};

use super::tree::{Builder, Handle, Node};

/// How many elements may be open at a time; browsers have the same bound. Tags that go deeper are
/// left out, their text is not.
///
/// For each tag the parser looks through all open elements, so that without a bound it would take
/// time with the square of the page's length.
const MAX_OPEN: usize = 512;

/// Parses a page, or a piece of a table: browsers would drop its tags where there is no table.
pub(super) fn parse(text: &str) -> Tree<Node> {
    let options = TreeBuilderOpts {
        // So that the content of `noscript` is parsed.
        scripting_enabled: false,
        drop_doctype: true,
        ..TreeBuilderOpts::default()
    };
    let builder = Builder::new(text.len());
    let parser = if first_tag(text).is_some_and(|name| is_part_of_table(&name)) {
        let template = QualName::new(None, ns!(html), local_name!("template"));
        let context = create_element(&builder, template, Vec::new());
        TreeBuilder::new_for_fragment(builder, context, None, options)
    } else {
        TreeBuilder::new(builder, options)
    };
    let tokenizer = tokenize(
        text,
        Bounded {
            parser,
            open: Cell::new(0),
            is_deep: Cell::new(false),
        },
        |_| true,
    );
    tokenizer.end();
    tokenizer.sink.parser.sink.finish()
}

/// Feeds the text to the sink; `go_on` is asked whenever the sink interrupts.
fn tokenize<S: TokenSink>(
    text: &str,
    sink: S,
    go_on: impl Fn(TokenizerResult<S::Handle>) -> bool,
) -> Tokenizer<S> {
    let tokenizer = Tokenizer::new(sink, TokenizerOpts::default());
    let input = BufferQueue::default();
    input.push_back(StrTendril::from(text));
    loop {
        match tokenizer.feed(&input) {
            TokenizerResult::Done => return tokenizer,
            interruption => {
                if !go_on(interruption) {
                    return tokenizer;
                }
            }
        }
    }
}

fn is_part_of_table(name: &str) -> bool {
    matches!(
        name,
        "tr" | "td" | "th" | "tbody" | "thead" | "tfoot" | "caption" | "col" | "colgroup"
    )
}

fn first_tag(text: &str) -> Option<LocalName> {
    tokenize(text, FirstTag(RefCell::new(None)), |_| false)
        .sink
        .0
        .into_inner()
}

struct FirstTag(RefCell<Option<LocalName>>);

impl TokenSink for FirstTag {
    type Handle = ();

    fn process_token(&self, token: Token, _: u64) -> TokenSinkResult<()> {
        match token {
            Token::TagToken(Tag {
                kind: StartTag,
                name,
                ..
            }) => {
                *self.0.borrow_mut() = Some(name);
                TokenSinkResult::Script(())
            }
            _ => TokenSinkResult::Continue,
        }
    }
}

/// Stands between tokenizer and tree builder and drops what goes too far.
struct Bounded {
    parser: TreeBuilder<Handle, Builder>,
    /// How many elements are open at most.
    open: Cell<usize>,
    /// Whether no element was closed since there were too many.
    is_deep: Cell<bool>,
}

impl Bounded {
    fn is_too_deep(&self) -> bool {
        if self.open.get() >= MAX_OPEN && !self.is_deep.get() {
            let count = Count(Cell::new(0));
            self.parser.trace_handles(&count);
            self.open.set(count.0.get());
            self.is_deep.set(count.0.get() >= MAX_OPEN);
        }
        self.is_deep.get()
    }
}

/// Counts what the tree builder has to look through.
struct Count(Cell<usize>);

impl Tracer for Count {
    type Handle = Handle;

    fn trace_handle(&self, _: &Handle) {
        self.0.set(self.0.get() + 1);
    }
}

impl TokenSink for Bounded {
    type Handle = Handle;

    fn process_token(&self, token: Token, line: u64) -> TokenSinkResult<Handle> {
        match &token {
            Token::EOFToken => {}
            Token::ParseError(_) | Token::CommentToken(_) => return TokenSinkResult::Continue,
            _ if self.parser.sink.is_full() => return TokenSinkResult::Continue,
            Token::TagToken(Tag {
                kind: StartTag,
                name,
                ..
            }) => {
                if self.is_too_deep() {
                    return TokenSinkResult::Continue;
                }
                self.open.set(self.open.get() + 1);
                self.parser.sink.begin_tag(Some(name.clone()));
            }
            Token::TagToken(Tag { kind: EndTag, .. }) => {
                self.is_deep.set(false);
                self.parser.sink.begin_tag(None);
            }
            _ => self.parser.sink.begin_tag(None),
        }
        self.parser.process_token(token, line)
    }

    fn end(&self) {
        self.parser.end();
    }

    fn adjusted_current_node_present_but_not_in_html_namespace(&self) -> bool {
        self.parser
            .adjusted_current_node_present_but_not_in_html_namespace()
    }
}
