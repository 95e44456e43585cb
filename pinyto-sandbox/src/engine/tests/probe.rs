use super::*;
struct Echo;
impl Outside for Echo {
    fn call(&mut self, service: Service, arguments: String) -> Result<String, Refusal> {
        eprintln!("   call {service:?} {arguments}");
        Ok(arguments)
    }
    fn print(&mut self, text: &str) {
        eprint!("{text}");
    }
}
#[test]
fn probe() {
    let Ok(path) = std::env::var("PROBE") else {
        return;
    };
    let mut engine = Engine::new();
    for code in std::fs::read_to_string(path).unwrap().split("\n====\n") {
        eprintln!("---- {}", code.trim_end());
        eprintln!("  check {:?}", engine.check(code));
        let finished = engine.run(
            code,
            r#"{"a":1,"n":123456789012345678901234567890,"f":0.1}"#,
            "jana",
            &CodeLimits::default(),
            &mut Echo,
        );
        eprintln!("=> {:?} {}", finished.outcome, finished.truncated);
    }
}
