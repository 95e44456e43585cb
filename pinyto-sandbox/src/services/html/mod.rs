//! `ParseHtml`: looking for elements in HTML that somebody else wrote.
//!
//! Runs inside the process of the code. The HTML may be hostile: parsing, searching and dropping
//! never recurse, no more than 512 elements are open at a time, and a page has at most 100,000
//! nodes; what goes beyond is left out. One thing is left to the limit of CPU time: html5ever
//! compares each attribute of a tag with all before it, so that a tag with 100,000 attributes takes
//! many seconds.

mod bounded;
mod description;
#[cfg(test)]
mod tests;
mod tree;

use ego_tree::{NodeRef, Tree, iter::Edge};
use serde_json::{Map, Value};

use self::{
    description::{Description, Search},
    tree::{Element, Node},
};

/// A parsed page.
#[derive(Debug)]
pub(crate) struct Html {
    tree: Tree<Node>,
}

impl Html {
    /// Parses any text, as browsers do.
    pub(crate) fn parse(text: &str) -> Self {
        Self {
            tree: bounded::parse(text),
        }
    }

    /// Whether there is an element that the descriptions lead to.
    pub(crate) fn contains(&self, descriptions: &Value) -> bool {
        Description::parse_path(descriptions)
            .is_some_and(|path| follow(self.tree.root(), &path).is_some())
    }

    /// The value of an attribute of the element that the descriptions lead to: a text, for `class`
    /// a list of texts. An empty text without such an element or attribute.
    pub(crate) fn find_element_and_get_attribute_value(
        &self,
        descriptions: &Value,
        attribute: &str,
    ) -> Value {
        let value = || {
            let path = Description::parse_path(descriptions)?;
            let found = element(follow(self.tree.root(), &path)?)?;
            let value = found.attribute(attribute)?;
            Some(if attribute.eq_ignore_ascii_case("class") {
                value.split_ascii_whitespace().collect()
            } else {
                Value::from(value)
            })
        };
        value().unwrap_or_else(|| Value::from(""))
    }

    /// What stands next to captions in rows: an object with the keys of `searched` that were found.
    ///
    /// If several rows have a caption of one key, the last one counts.
    pub(crate) fn find_element_and_collect_table_like_information(
        &self,
        descriptions: &Value,
        searched: &Value,
    ) -> Value {
        let collect = || {
            let path = Description::parse_path(descriptions)?;
            let searches = Search::parse_all(searched)?;
            let (row, path) = path.split_last()?;
            let table = follow(self.tree.root(), path)?;
            let mut found = Map::new();
            for row in children(table).filter(|child| is(*child, row)) {
                for search in &searches {
                    if let Some(text) = beside_caption(row, search) {
                        found.insert(search.key.to_owned(), Value::from(text));
                    }
                }
            }
            Some(found)
        };
        Value::Object(collect().unwrap_or_default())
    }
}

/// What a row says to one key, if it has one of its captions.
fn beside_caption(row: NodeRef<'_, Node>, search: &Search<'_>) -> Option<String> {
    let caption = find(row, &search.caption)?;
    let caption_text = text(caption);
    if !search.captions.contains(&caption_text.as_str()) {
        return None;
    }
    children(row)
        .find(|child| child.id() != caption.id() && is(*child, &search.content))
        .map(text)
}

/// Looks for each description inside the element found for the one before. There is no way back:
/// it is always the first one that counts.
fn follow<'a>(from: NodeRef<'a, Node>, path: &[Description<'_>]) -> Option<NodeRef<'a, Node>> {
    path.iter()
        .try_fold(from, |inside, description| find(inside, description))
}

/// The first element inside of `node`, at any depth.
fn find<'a>(node: NodeRef<'a, Node>, description: &Description<'_>) -> Option<NodeRef<'a, Node>> {
    node.descendants()
        .skip(1)
        .find(|inner| is(*inner, description))
}

/// The direct children. An element that only the parser has put in between (the `tbody` of a table
/// without one) is there and its children are too: whoever looks at the page's source and whoever
/// looks at it in a browser should both be right.
fn children<'a>(node: NodeRef<'a, Node>) -> impl Iterator<Item = NodeRef<'a, Node>> {
    let mut next: Vec<_> = node.children().rev().collect();
    std::iter::from_fn(move || {
        let child = next.pop()?;
        if element(child).is_some_and(|element| element.implied) {
            next.extend(child.children().rev());
        }
        Some(child)
    })
}

fn is(node: NodeRef<'_, Node>, description: &Description<'_>) -> bool {
    element(node).is_some_and(|element| description.matches(element))
}

fn element<'a>(node: NodeRef<'a, Node>) -> Option<&'a Element> {
    match node.value() {
        Node::Element(element) => Some(element),
        Node::Root | Node::Text(_) => None,
    }
}

/// All text of an element, white space folded to single blanks, none at the ends. Scripts and
/// styles inside of it are no text.
fn text(node: NodeRef<'_, Node>) -> String {
    let is_hidden = |inner: NodeRef<'_, Node>| {
        inner.id() != node.id()
            && element(inner)
                .is_some_and(|element| matches!(&*element.name, "script" | "style" | "template"))
    };
    let mut hidden = 0_usize;
    let mut joined = String::new();
    for edge in node.traverse() {
        match edge {
            Edge::Open(inner) if is_hidden(inner) => hidden += 1,
            Edge::Close(inner) if is_hidden(inner) => hidden -= 1,
            Edge::Open(inner) if hidden == 0 => {
                if let Node::Text(piece) = inner.value() {
                    joined.push_str(piece);
                }
            }
            Edge::Open(_) | Edge::Close(_) => {}
        }
    }
    let mut folded = String::with_capacity(joined.len());
    for word in joined.split_whitespace() {
        if !folded.is_empty() {
            folded.push(' ');
        }
        folded.push_str(word);
    }
    folded
}
