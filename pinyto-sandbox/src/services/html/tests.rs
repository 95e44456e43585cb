use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// A page as the catalogues of libraries have them: unclosed cells, entities, a table in a table.
const CATALOGUE: &str = r#"<!DOCTYPE html PUBLIC "-//W3C//DTD HTML 4.01 Transitional//EN">
<html><head><title>Katalog</title><style>td { color: red }</style></head>
<body class="opac wide">
<div id="menu"><table class="menu"><tr><td>Title</td><td>not this one</td></tr></table></div>
<div id=content class="result  single">
  <a class="permalink" href="/record/42?a=1&amp;b=2" target=_blank>Link</a>
  <table class="record" border=1>
    <tr><th colspan=2>Record 42
    <tr class="even"><td class="label">Title:<td> The  <b>Left</b>&nbsp;Hand
        of <i>Darkness</i>
    <tr class="odd"><td class="label">Author(s):<td><a href="/a/7">Le Guin, Ursula K.</a>
    <tr class="even"><td class="label">ISBN<td>978-0-441-47812-5<td>paperback
    <tr class="odd"><td class="label">Copies<td><table><tr><td>ISBN</td><td>inner</td></tr></table>
    <tr class="odd"><td class="label">Year</td></tr>
  </table>
</div>
<script>document.write("<p id='written'>never</p>")</script>
</body></html>"#;

fn catalogue() -> Html {
    Html::parse(CATALOGUE)
}

fn table() -> Value {
    json!({"tag": "table", "attrs": {"class": "record"}})
}

fn collected(html: &str, descriptions: &Value, searched: &Value) -> Value {
    Html::parse(html).find_element_and_collect_table_like_information(descriptions, searched)
}

#[test]
fn the_record_of_a_book_is_collected_from_a_catalogue() {
    let found = catalogue().find_element_and_collect_table_like_information(
        &json!([{"tag": "div", "attrs": {"id": "content"}}, table(), {"tag": "tr", "attrs": {}}]),
        &json!({
            "title": {"captions": ["Title", "Title:"]},
            "author": {
                "search tag": "td", "search attrs": {"class": "label"},
                "captions": ["Author:", "Author(s):"],
                "content tag": "td", "content attrs": {},
            },
            "isbn": {"captions": ["ISBN"]},
            "year": {"captions": ["Year"]},
            "publisher": {"captions": ["Publisher"]},
        }),
    );
    assert_eq!(
        found,
        json!({
            "title": "The Left Hand of Darkness",
            "author": "Le Guin, Ursula K.",
            "isbn": "978-0-441-47812-5",
        })
    );
}

#[test]
fn an_element_is_contained_at_any_depth() {
    let page = catalogue();
    assert!(page.contains(&json!({"tag": "i", "attrs": {}})));
    assert!(page.contains(&json!([{"tag": "i", "attrs": {}}])));
    assert!(page.contains(&json!({"tag": "I"})), "attrs may be absent");
    assert!(!page.contains(&json!({"tag": "em", "attrs": {}})));
    assert!(
        !page.contains(&json!({"tag": "p", "attrs": {}})),
        "scripts don't run"
    );
}

#[test]
fn each_description_is_looked_for_inside_the_first_match_of_the_one_before() {
    let page = Html::parse("<ul><li>a<ul><li id=in></ul></ul><div></div><div><p></p></div>");
    let inside = |outer: &str, inner: Value| page.contains(&json!([{"tag": outer}, inner]));
    assert!(inside("ul", json!({"tag": "li", "attrs": {"id": "in"}})));
    assert!(inside("ul", json!({"tag": "ul"})));
    assert!(!inside("li", json!({"tag": "div"})));
    assert!(!inside("p", json!({"tag": "p"})), "not in itself");
    assert!(
        !inside("div", json!({"tag": "p"})),
        "only the first div counts"
    );
}

#[test]
fn attributes_have_to_be_equal() {
    let page = catalogue();
    let link = |attributes: Value| page.contains(&json!({"tag": "a", "attrs": attributes}));
    assert!(link(json!({"href": "/a/7"})));
    assert!(link(
        json!({"HREF": "/record/42?a=1&b=2", "target": "_blank"})
    ));
    assert!(!link(json!({"href": "/a"})));
    assert!(!link(json!({"href": "/a/7", "target": "_blank"})));
    assert!(!link(json!({"name": ""})));
}

#[test]
fn a_class_matches_if_it_is_among_the_classes_or_if_all_are_given() {
    let page = Html::parse(r#"<p class="one  two three">"#);
    let has = |class: &str| page.contains(&json!({"tag": "p", "attrs": {"class": class}}));
    for class in ["one", "two", "one two three", "one  two three"] {
        assert!(has(class), "{class}");
    }
    for class in ["on", "ONE", "one two", "two one three", ""] {
        assert!(!has(class), "{class}");
    }
    assert!(Html::parse("<p class>").contains(&json!({"tag": "p", "attrs": {"class": ""}})));
    assert!(!Html::parse("<p>").contains(&json!({"tag": "p", "attrs": {"class": ""}})));
}

#[test]
fn the_value_of_an_attribute_is_text_and_of_class_a_list() {
    let page = catalogue();
    let value = |tag: &str, attribute: &str| {
        page.find_element_and_get_attribute_value(&json!([{"tag": tag, "attrs": {}}]), attribute)
    };
    assert_eq!(value("a", "href"), json!("/record/42?a=1&b=2"));
    assert_eq!(value("a", "Target"), json!("_blank"));
    assert_eq!(value("a", "class"), json!(["permalink"]));
    assert_eq!(value("body", "class"), json!(["opac", "wide"]));
    assert_eq!(value("tr", "class"), json!(""), "no such attribute");
    assert_eq!(value("video", "src"), json!(""), "no such element");
    assert_eq!(value("video", "class"), json!(""));
}

#[test]
fn rows_are_all_direct_children_that_match() {
    let html = "<div id=rows><p class=r><b>k</b><i>1</i></p><section><p class=r><b>l</b><i>2</i></p>\
                </section><p><b>m</b><i>3</i></p><p class=r><b>n</b><i>4</i></p></div>";
    let search = |caption: &str| {
        json!({"search tag": "b", "search attrs": {}, "captions": [caption],
               "content tag": "i", "content attrs": {}})
    };
    let found = collected(
        html,
        &json!([{"tag": "div", "attrs": {"id": "rows"}}, {"tag": "p", "attrs": {"class": "r"}}]),
        &json!({"k": search("k"), "l": search("l"), "m": search("m"), "n": search("n")}),
    );
    assert_eq!(found, json!({"k": "1", "n": "4"}));
}

#[test]
fn the_caption_is_the_first_of_its_kind_at_any_depth_and_the_content_another_direct_child() {
    let row = json!([{"tag": "ul"}, {"tag": "li"}]);
    let search = |caption: &str| {
        json!({"k": {"search tag": "b", "captions": [caption],
                     "content tag": "span", "content attrs": {"class": "v"}}})
    };
    let html = "<ul><li><em><b>one</b></em><b>two</b><em><span class=v>deep</span></em>\
                <span>other</span><span class=v>right</span><span class=v>late</span></ul>";
    assert_eq!(collected(html, &row, &search("one")), json!({"k": "right"}));
    assert_eq!(collected(html, &row, &search("two")), json!({}));
    let same = json!({"k": {"captions": ["a"]}});
    let cells = json!([{"tag": "table"}, {"tag": "tr"}]);
    let html = "<table><tr><td>a</td><th>h</th><td>b</td></table>";
    assert_eq!(collected(html, &cells, &same), json!({"k": "b"}));
    assert_eq!(
        collected("<table><tr><td>a</table>", &cells, &same),
        json!({})
    );
}

#[test]
fn of_several_rows_with_a_caption_the_last_one_counts() {
    let html = "<table><tr><td>a<td>1<tr><td>b<td>2<tr><td>a<td>3</table>";
    let rows = json!([{"tag": "table"}, {"tag": "tr"}]);
    let searched = json!({"x": {"captions": ["a"]}, "y": {"captions": ["b", "a"]}});
    assert_eq!(
        collected(html, &rows, &searched),
        json!({"x": "3", "y": "3"})
    );
}

#[test]
fn a_tbody_that_only_the_parser_added_is_there_and_in_nobodys_way() {
    let searched = json!({"k": {"captions": ["a"]}});
    let found = json!({"k": "1"});
    let through = json!([{"tag": "table"}, {"tag": "tbody"}, {"tag": "tr"}]);
    let direct = json!([{"tag": "table"}, {"tag": "tr"}]);
    let implied = "<table><tr><td>a<td>1</table>";
    assert_eq!(collected(implied, &through, &searched), found);
    assert_eq!(collected(implied, &direct, &searched), found);
    let written = "<table><tbody><tr><td>a<td>1</table>";
    assert_eq!(collected(written, &through, &searched), found);
    assert_eq!(collected(written, &direct, &searched), json!({}));
}

#[test]
fn a_piece_of_a_table_is_parsed_without_its_table() {
    let searched = json!({"k": {"captions": ["a"]}});
    for html in [
        "<tr><td>a<td>1",
        "<!-- row --> <tr class=x><td>a</td><td>1</td></tr>",
    ] {
        let rows = json!([{"tag": "tr", "attrs": {}}]);
        assert_eq!(
            collected(html, &rows, &searched),
            json!({"k": "1"}),
            "{html}"
        );
    }
    let cell = Html::parse("<td id=c>x</td><td>y</td>");
    assert!(cell.contains(&json!({"tag": "td", "attrs": {"id": "c"}})));
}

#[test]
fn text_is_joined_and_its_white_space_folded() {
    let text_of = |inner: &str| {
        let html = format!("<table><tr><td>k</td><td>{inner}</td></tr></table>");
        let rows = json!([{"tag": "table"}, {"tag": "tr"}]);
        collected(&html, &rows, &json!({"k": {"captions": ["k"]}}))["k"].clone()
    };
    assert_eq!(text_of(" a\n\t b "), "a b");
    assert_eq!(text_of("a<b>b</b>c <i> d</i>"), "abc d");
    assert_eq!(text_of("a&nbsp;&nbsp;b &lt;c&gt; &uuml;"), "a b <c> ü");
    assert_eq!(text_of("a<!-- no -->b"), "ab");
    assert_eq!(
        text_of("a<script>if (x) {}</script><style>p {}</style>b"),
        "ab"
    );
    assert_eq!(text_of(""), "");
}

#[test]
fn a_malformed_description_finds_nothing() {
    let page = catalogue();
    let searched = json!({"k": {"captions": ["ISBN"]}});
    for descriptions in [
        json!(null),
        json!(7),
        json!("a"),
        json!([]),
        json!({}),
        json!([[]]),
        json!(["a"]),
        json!({"tag": 7}),
        json!({"tag": null, "attrs": {}}),
        json!({"attrs": {"id": "content"}}),
        json!({"tag": "a", "attrs": []}),
        json!({"tag": "a", "attrs": null}),
        json!({"tag": "a", "attrs": {"href": 7}}),
        json!([{"tag": "a"}, null]),
        json!([[{"tag": "a"}]]),
    ] {
        assert!(!page.contains(&descriptions), "{descriptions}");
        let value = page.find_element_and_get_attribute_value(&descriptions, "href");
        assert_eq!(value, "", "{descriptions}");
        let found = page.find_element_and_collect_table_like_information(&descriptions, &searched);
        assert_eq!(found, json!({}), "{descriptions}");
    }
    let rows = json!([table(), {"tag": "tr"}]);
    let collect =
        |searched: &Value| page.find_element_and_collect_table_like_information(&rows, searched);
    assert_eq!(
        collect(&searched),
        json!({"k": "978-0-441-47812-5"}),
        "it would be there"
    );
    for malformed in [
        json!(null),
        json!([]),
        json!("k"),
        json!({"k": null}),
        json!({"k": []}),
        json!({"k": {}}),
        json!({"k": {"captions": "ISBN"}}),
        json!({"k": {"captions": ["ISBN", 7]}}),
        json!({"k": {"captions": ["ISBN"], "search tag": 7}}),
        json!({"k": {"captions": ["ISBN"], "search attrs": []}}),
        json!({"k": {"captions": ["ISBN"], "content tag": null}}),
        json!({"k": {"captions": ["ISBN"], "content attrs": {"class": []}}}),
        json!({"k": {"captions": ["ISBN"]}, "l": 7}),
    ] {
        assert_eq!(collect(&malformed), json!({}), "{malformed}");
    }
}

#[test]
fn anything_is_parsed_somehow() {
    for html in [
        "",
        "<",
        "</",
        "<!",
        "<a",
        "<a b='",
        "\0",
        "plain",
        "<p></b></i></p>",
        "]]>",
    ] {
        assert!(
            Html::parse(html).contains(&json!({"tag": "body"})),
            "{html}"
        );
    }
    assert!(Html::parse("<b><p>x</b>y</p>").contains(&json!([{"tag": "p"}, {"tag": "b"}])));
    assert!(Html::parse("<noscript><p id=n></noscript>").contains(&json!({"tag": "p"})));
    assert!(Html::parse("<template><p></template>").contains(&json!({"tag": "p"})));
}

/// Generous: a debug build on a busy machine. What the tests are about took minutes, or a stack.
const SOON: Duration = Duration::from_secs(20);

fn parsed_soon(name: &str, html: &str) -> Html {
    let begin = Instant::now();
    let page = Html::parse(html);
    page.contains(&json!([{"tag": "x"}, {"tag": "y"}]));
    page.find_element_and_collect_table_like_information(
        &json!([{"tag": "body"}, {"tag": "div"}]),
        &json!({"k": {"search tag": "div", "captions": ["x"]}}),
    );
    let took = begin.elapsed();
    assert!(took < SOON, "{name} took {took:?}");
    page
}

/// On a thread with little stack, where recursion would end the process.
#[test]
fn hostile_pages_need_neither_stack_nor_much_time() {
    let work = || {
        let repeated = |text: &str| text.repeat(20_000);
        let deep = parsed_soon("deep", &format!("{}the end", "<div>".repeat(100_000)));
        assert!(text(deep.tree.root()).ends_with("the end"));
        for tag in ["b", "table><tr><td", "svg", "x"] {
            let page = parsed_soon(tag, &format!("{}the end", repeated(&format!("<{tag}>"))));
            assert!(text(page.tree.root()).ends_with("the end"), "{tag}");
        }
        for tag in ["a", "template", "p><b", "table"] {
            parsed_soon(tag, &repeated(&format!("<{tag}>")));
        }
        let closed = "</div>".repeat(100_000);
        parsed_soon("closed", &format!("{}{closed}", "<div>".repeat(100_000)));
        parsed_soon("up and down", &repeated("<div></p><div></x>"));
        parsed_soon(
            "foster parents",
            &format!("<table>{}", repeated("a<x></x>")),
        );
        parsed_soon("bodies", &repeated("<body a=1 b=2>"));
        parsed_soon("entities", &repeated("&lt;&nosuch;"));
        parsed_soon("comment", &format!("<!--{}", repeated("-- ")));
        let many_fonts: String = (0..20_000).map(|i| format!("<font size={i}><p>")).collect();
        parsed_soon("fonts", &many_fonts);
    };
    std::thread::Builder::new()
        .stack_size(256 * 1024)
        .spawn(work)
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn a_small_page_does_not_become_a_large_tree() {
    let fonts: String = (0..400).map(|i| format!("<font size={i}>")).collect();
    let copied = format!("<p>{fonts}</p>{}", "<p>x</p>".repeat(100_000));
    let nodes = Html::parse(&copied).tree.nodes().len();
    assert!(nodes < 110_000, "{nodes} nodes");

    let long = format!("<b title=\"{}\">", "x".repeat(100_000));
    let copied = format!("<p>{long}</p>{}", "<p>x</p>".repeat(10_000));
    let html = Html::parse(&copied);
    let kept: usize = html
        .tree
        .values()
        .filter_map(|node| match node {
            Node::Element(element) => element.attribute("title"),
            Node::Root | Node::Text(_) => None,
        })
        .map(str::len)
        .sum();
    assert!((100_000..=2 * copied.len()).contains(&kept), "{kept} bytes");
}

#[test]
fn tags_deeper_than_the_bound_are_left_out_and_later_ones_are_not() {
    let deep = format!("{}<i>in</i>{}", "<div>".repeat(2000), "</div>".repeat(2000));
    let page = Html::parse(&format!("{deep}<p id=after><i>out</i></p>"));
    assert!(page.contains(&json!([{"tag": "p", "attrs": {"id": "after"}}, {"tag": "i"}])));
    assert!(text(page.tree.root()).contains("in"));
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_fail(text in "\\PC*") {
        Html::parse(&text);
    }

    #[test]
    fn no_soup_of_tags_makes_it_fail(
        soup in prop::collection::vec(
            prop::sample::select(vec![
                "<table>", "<tr>", "<td>", "<tbody>", "<caption>", "<colgroup>", "<col>", "</table>",
                "</td>", "</tr>", "<a>", "<b>", "<font a=1>", "<font a=2>", "<p>", "<div>", "</a>",
                "</b>", "</font>", "</p>", "</div>", "<svg>", "<math>", "<annotation-xml>",
                "<foreignObject>", "</svg>", "<template>", "</template>", "<select>", "<option>",
                "</select>", "<form>", "</form>", "<input>", "<frameset>", "<body x=1>", "<html y=1>",
                "<head>", "</head>", "</body>", "</html>", "<title>", "<script>", "</script>",
                "<textarea>\n", "<plaintext>", "<li>", "<dd>", "<button>", "<h1>", "<nobr>",
                "<marquee>", "</marquee>", "<![CDATA[x]]>", "<!doctype x>", "<!--", "-->", "\0", " ",
                "text", "&amp",
            ]),
            0..60,
        )
    ) {
        let soup = soup.concat();
        let page = Html::parse(&soup);
        // Nothing may be found twice or in circles: what is visited is at most what there is.
        let visited = page.tree.root().descendants().take(100_000).count();
        prop_assert!(visited <= page.tree.nodes().len());
        prop_assert!(children(page.tree.root()).take(100_000).count() <= visited);
        text(page.tree.root());
    }
}
