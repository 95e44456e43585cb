//! Prints the public API that rustdoc has described as JSON in the file given, one item a line.

use std::{env, error::Error, io::Write};

fn main() -> Result<(), Box<dyn Error>> {
    let described = env::args_os().nth(1).ok_or("which file of rustdoc?")?;
    let api = public_api::Builder::from_rustdoc_json(described)
        // The same for every type, since they are of the traits.
        .omit_blanket_impls(true)
        .build()?;
    let mut out = std::io::stdout().lock();
    for item in api.items() {
        writeln!(out, "{item}")?;
    }
    Ok(())
}
