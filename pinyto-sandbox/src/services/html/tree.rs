//! The tree that html5ever builds. It lies in one `Vec`, so that dropping it doesn't recurse.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    rc::Rc,
};

use ego_tree::{NodeId, Tree};
use html5ever::{
    Attribute, ExpandedName, LocalName, QualName,
    interface::{ElementFlags, NodeOrText, QuirksMode, TreeSink},
    ns,
    tendril::StrTendril,
};

#[derive(Debug)]
pub(super) enum Node {
    /// The root, and what nobody can look for.
    Root,
    Text(String),
    Element(Element),
}

#[derive(Debug)]
pub(super) struct Element {
    pub(super) name: LocalName,
    attributes: Vec<(LocalName, String)>,
    /// Whether the page doesn't have it and the parser had to add it.
    pub(super) implied: bool,
}

impl Element {
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|(own, _)| str::eq_ignore_ascii_case(own, name))
            .map(|(_, value)| value.as_str())
    }
}

/// More nodes than a page of 2 MiB has; about 10 MiB of memory.
const MAX_NODES: usize = 100_000;
/// More are left out: looking for one takes time in proportion to their number.
const MAX_ATTRIBUTES: usize = 256;

/// Receives the tree's parts from html5ever and stops taking any when there are too many.
///
/// The parser copies elements where formatting is nested wrongly, so that a small page can become
/// a tree of any size. That is why what it makes is counted and not what it is given.
pub(super) struct Builder {
    tree: RefCell<Tree<Node>>,
    /// The start tag that is being worked on: other elements that come up now are implied.
    tag: RefCell<Option<LocalName>>,
    nodes: Cell<usize>,
    /// How many bytes of attributes may still be kept.
    attribute_bytes: Cell<usize>,
    nameless: Rc<QualName>,
}

/// A node with its name, which html5ever asks for all the time.
#[derive(Clone)]
pub(super) struct Handle {
    id: NodeId,
    name: Rc<QualName>,
}

impl Builder {
    /// For a page of `bytes` bytes.
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            tree: RefCell::new(Tree::new(Node::Root)),
            tag: RefCell::new(None),
            nodes: Cell::new(0),
            attribute_bytes: Cell::new(bytes.saturating_mul(2)),
            nameless: Rc::new(QualName::new(None, ns!(), LocalName::from(""))),
        }
    }

    pub(super) fn begin_tag(&self, name: Option<LocalName>) {
        *self.tag.borrow_mut() = name;
    }

    pub(super) fn is_full(&self) -> bool {
        self.nodes.get() >= MAX_NODES || self.attribute_bytes.get() == 0
    }

    fn create(&self, node: Node, name: Rc<QualName>) -> Handle {
        self.nodes.set(self.nodes.get() + 1);
        let id = self.tree.borrow_mut().orphan(node).id();
        Handle { id, name }
    }

    fn keep(&self, attributes: Vec<Attribute>) -> Vec<(LocalName, String)> {
        attributes
            .into_iter()
            .take(MAX_ATTRIBUTES)
            .map_while(|Attribute { name, value }| {
                let bytes = name.local.len() + value.len();
                let left = self.attribute_bytes.get().saturating_sub(bytes);
                self.attribute_bytes.set(left);
                (left > 0).then(|| (name.local, String::from(value)))
            })
            .collect()
    }
}

/// What the parser adds although the page has no such tag.
fn may_be_implied(name: &str) -> bool {
    matches!(name, "html" | "head" | "body" | "tbody" | "tr" | "colgroup")
}

impl TreeSink for Builder {
    type Handle = Handle;
    type Output = Tree<Node>;
    type ElemName<'a> = ExpandedName<'a>;

    fn finish(self) -> Tree<Node> {
        self.tree.into_inner()
    }

    fn parse_error(&self, _: Cow<'static, str>) {}

    fn get_document(&self) -> Handle {
        Handle {
            id: self.tree.borrow().root().id(),
            name: Rc::clone(&self.nameless),
        }
    }

    fn elem_name<'a>(&'a self, target: &'a Handle) -> ExpandedName<'a> {
        target.name.expanded()
    }

    fn create_element(
        &self,
        name: QualName,
        attributes: Vec<Attribute>,
        _: ElementFlags,
    ) -> Handle {
        let implied =
            may_be_implied(&name.local) && self.tag.borrow().as_ref() != Some(&name.local);
        let element = Element {
            name: name.local.clone(),
            attributes: self.keep(attributes),
            implied,
        };
        self.create(Node::Element(element), Rc::new(name))
    }

    fn create_comment(&self, _: StrTendril) -> Handle {
        self.create(Node::Root, Rc::clone(&self.nameless))
    }

    fn create_pi(&self, _: StrTendril, _: StrTendril) -> Handle {
        self.create(Node::Root, Rc::clone(&self.nameless))
    }

    fn append(&self, parent: &Handle, child: NodeOrText<Handle>) {
        let mut tree = self.tree.borrow_mut();
        let Some(mut parent) = tree.get_mut(parent.id) else {
            return;
        };
        match child {
            NodeOrText::AppendNode(child) => {
                parent.append_id(child.id);
            }
            NodeOrText::AppendText(text) => {
                if let Some(mut last) = parent.last_child()
                    && let Node::Text(before) = last.value()
                {
                    before.push_str(&text);
                    return;
                }
                parent.append(Node::Text(String::from(text)));
                self.nodes.set(self.nodes.get() + 1);
            }
        }
    }

    fn append_before_sibling(&self, sibling: &Handle, child: NodeOrText<Handle>) {
        let mut tree = self.tree.borrow_mut();
        let Some(mut sibling) = tree.get_mut(sibling.id) else {
            return;
        };
        if sibling.parent().is_none() {
            return;
        }
        match child {
            NodeOrText::AppendNode(child) => {
                sibling.insert_id_before(child.id);
            }
            NodeOrText::AppendText(text) => {
                if let Some(mut previous) = sibling.prev_sibling()
                    && let Node::Text(before) = previous.value()
                {
                    before.push_str(&text);
                    return;
                }
                sibling.insert_before(Node::Text(String::from(text)));
                self.nodes.set(self.nodes.get() + 1);
            }
        }
    }

    fn append_based_on_parent_node(
        &self,
        element: &Handle,
        previous: &Handle,
        child: NodeOrText<Handle>,
    ) {
        let has_parent = self
            .tree
            .borrow()
            .get(element.id)
            .is_some_and(|node| node.parent().is_some());
        if has_parent {
            self.append_before_sibling(element, child);
        } else {
            self.append(previous, child);
        }
    }

    fn append_doctype_to_document(&self, _: StrTendril, _: StrTendril, _: StrTendril) {}

    /// The content of a template is as good as any other.
    fn get_template_contents(&self, target: &Handle) -> Handle {
        target.clone()
    }

    fn same_node(&self, one: &Handle, other: &Handle) -> bool {
        one.id == other.id
    }

    fn set_quirks_mode(&self, _: QuirksMode) {}

    /// A second `html` or `body` tag. The first one may have been implied.
    fn add_attrs_if_missing(&self, target: &Handle, attributes: Vec<Attribute>) {
        if let Some(mut node) = self.tree.borrow_mut().get_mut(target.id)
            && let Node::Element(element) = node.value()
        {
            element.implied = false;
            for (name, value) in self.keep(attributes) {
                if element.attributes.len() < MAX_ATTRIBUTES && element.attribute(&name).is_none() {
                    element.attributes.push((name, value));
                }
            }
        }
    }

    fn remove_from_parent(&self, target: &Handle) {
        if let Some(mut node) = self.tree.borrow_mut().get_mut(target.id) {
            node.detach();
        }
    }

    fn reparent_children(&self, node: &Handle, new_parent: &Handle) {
        if let Some(mut parent) = self.tree.borrow_mut().get_mut(new_parent.id) {
            parent.reparent_from_id_append(node.id);
        }
    }
}
