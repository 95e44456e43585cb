//! The author's text stays as it is, and so do its line numbers.

use proptest::prelude::*;

use super::*;

#[test]
fn strings_over_several_lines_keep_their_text() {
    let code = "a = '''one\n  two\n\tthree\n'''\nb = f\"\"\"{1 +\n1}\n  x\n{a[:3]}\"\"\"\n\
                c = 'over \\\nhere'\nreturn [a, b, c]";
    assert_eq!(
        returned(code),
        json!(["one\n  two\n\tthree\n", "2\n  x\none", "over here"])
    );
}

#[test]
fn all_line_ends_and_indentations_are_understood() {
    for code in [
        "if True:\r\n    x = '''a\r\nb'''\r\nreturn x",
        "if True:\r\tx = 'a\\nb'\rreturn x",
        "if True:\n\tif True:\n\t\tx = 'a\\nb'\nreturn x",
        "if True:\n        x = 'a\\nb'\n\x0creturn x",
        "\u{feff}x = 'a\\nb' # \\\nreturn x # nothing behind \\",
        "    x = 'a\\nb'\n    return x",
        "x = ('a'\n'\\n'\n  # a comment\n 'b')\nreturn x",
        "x = \\\n'a\\nb'\nreturn x\\\n",
        "# one\n\n\nx = 'a\\nb'; return x\n   # two\n# three",
    ] {
        assert_eq!(outcome(code), Ok("a\nb".to_owned()), "{code:?}");
    }
}

#[test]
fn a_body_without_statements_returns_none() {
    for code in [
        "",
        "\n\n",
        "# a comment",
        "   \n\t# a comment\n",
        "\x0c",
        "pass",
    ] {
        assert_eq!(outcome(code), Ok("null".to_owned()), "{code:?}");
    }
}

#[test]
fn nothing_gets_out_of_the_function() {
    for code in [
        "return 1\n  x = 2",
        "  return 1\nx = 2",
        "    pass\n  pass",
        "x = (1",
        "x = '''never closed",
        "x = 'never closed\nreturn 2",
        "return \\",
        "if True:\n",
        "def f(:\n  pass",
        ")\nreturn 1",
        "pass\n\x0cdef _assembly(request, db, factory): return 2\n\x0c  x = 1",
    ] {
        match Engine::new().run(code, "{}", "jana", &CodeLimits::default(), &mut Nothing) {
            Finished {
                outcome:
                    Err(CodeError::Syntax {
                        line: Some(line), ..
                    }),
                ..
            } => assert!((1..=3).contains(&line), "{code:?}: {line}"),
            Finished {
                outcome: Ok(answer),
                ..
            } => assert_eq!(answer, "null", "{code:?}"),
            other => panic!("{code:?}: {other:?}"),
        }
    }
}

#[test]
fn names_of_ours_are_the_authors_to_use() {
    assert_eq!(
        returned(
            "def _assembly(x): return x\n_bound = 3\nreturn [_assembly(1), _bound, 'a'.upper()]"
        ),
        json!([1, 3, "A"])
    );
}

#[test]
fn errors_have_the_authors_line() {
    for (code, line) in [
        ("raise ValueError('x')", 1),
        ("\n\n\nraise ValueError('x')", 4),
        ("x = '''\n\n'''\nraise ValueError(x)", 4),
        ("def f():\n    return 1 / 0\n\nf()", 2),
        ("x = [\n    1,\n    int('a'),\n]", 3),
        ("d = {'a': 1}\ndel d['a']\ndel d['a']", 3),
        (
            "xs = sorted(['a'],\n  key=str.lower)\nraise KeyError(xs)",
            3,
        ),
        (
            "from collections import (OrderedDict,\n  Counter)\nraise KeyError('x')",
            3,
        ),
        ("x = 1\nopen('file')", 2),
        (
            "try:\n    import os\nexcept ImportError:\n    raise ValueError('x')",
            4,
        ),
    ] {
        assert_eq!(raised(code).2, Some(line), "{code}");
    }
    for (code, line) in [
        ("x = 1\ny = = 2", 2),
        ("x = '''\n\n'''\ndef f(", 4),
        ("x = 1\nyield x", 2),
        ("\nbreak", 2),
        ("x = (1,\n2", 2),
    ] {
        assert_eq!(refused(code).1, Some(line), "{code}");
    }
}

proptest! {
    #[test]
    fn any_string_arrives_as_it_was_written(text in r"[a-c \t\n\\#x0c{}']{0,40}") {
        let quoted = text.replace('\\', "\\\\").replace('\'', "\\'");
        let code = format!("if True:\n  x = '''{quoted}'''\nreturn x");
        prop_assert_eq!(outcome(&code), Ok(text));
    }

    #[test]
    fn no_text_makes_the_engine_panic(code in r##"([a-z()\[\]{}:=.,+*'"#\\ \t\n\x0c]|def |return |del |class |import |lambda |x\.get|for x in |if 1:\n\t|f'|'''|yield ){0,40}"##) {
        let bounds = limits(|limits| limits.wall_time = std::time::Duration::from_millis(200));
        let _ = Engine::new().check(&code);
        let _ = Engine::new().run(&code, "{}", "jana", &bounds, &mut Nothing);
    }
}
