//! Functions in Rust beside those in Python: an application offers its users an assembly whose
//! functions are its own code. They call them as any others, and that code has as little say over
//! documents as any author's: it sees those of the user it runs for.
//!
//!     cargo run --release --ignore-rust-version -p pinyto-examples --example native_functions
//!
//! It prints what two calls have answered, one to each language, and what they have cost:
//!
//!     app/Words/count in Rust: {"documents":2,"of":"ada","words":5} (... of CPU time)
//!     ada/Greet/hello in Python: {"hello":"ada"} (... of CPU time)
//!
//! [`runtime`] has what decides which code is native, and what that may use.

mod runtime;

use std::{error::Error, sync::Arc, time::Duration};

use pinyto_core::{
    Cloud, Page, Settings,
    assembly::{
        AssemblyName, AssemblyRef, AssemblySource, CallRequest, DataAccess, Function, FunctionName,
    },
    challenge::{DeviceKey, RequestToken, ServerKey},
    crypto::default_backend,
    document::NewDocument,
    memory::MemoryStore,
    runtime::{CodeError, Service},
    session::Session,
    user::UserName,
};
use pinyto_sandbox::PythonRuntime;
use runtime::{Native, NativeCall, NativeFunctions};
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: pinyto_sandbox::Allocator = pinyto_sandbox::Allocator;

/// What the application offers: the assembly `app/Words`.
const WORDS: [(&str, Native); 1] = [("count", |call| Box::pin(count(call)))];

/// How many words the user's documents of a type have; without one, her notes.
async fn count(call: &NativeCall<'_>) -> Result<Value, CodeError> {
    let kind = call.body["type"].as_str().unwrap_or("note");
    let query = json!({"query": {"type": kind}});
    let found = call.ask(Service::Find, &query).await?;
    let found = found.as_array().map(Vec::as_slice).unwrap_or_default();
    let texts = found
        .iter()
        .filter_map(|document| document["data"].as_str());
    let words: usize = texts.map(|text| text.split_whitespace().count()).sum();
    Ok(json!({"of": call.user.as_str(), "documents": found.len(), "words": words}))
}

#[cfg(not(test))]
fn main() -> Result<(), Box<dyn Error>> {
    pinyto_sandbox::run_worker_if_asked(); // workers are this program, started again
    let told = tokio::runtime::Runtime::new()?.block_on(two_calls())?;
    println!("{}", told.join("\n"));
    Ok(())
}

/// The cloud, and the Python that has to be closed.
async fn cloud(
    store: Arc<MemoryStore>,
    server_key: ServerKey,
    functions: &[(&str, Native)],
) -> Result<(Cloud, Arc<PythonRuntime>), Box<dyn Error>> {
    let python = Arc::new(PythonRuntime::builder().start().await?);
    let mut runtime = NativeFunctions::beside(python.clone());
    let words = AssemblyRef::parse("app/Words").ok_or("no name")?;
    let source = runtime.offer(&words, "Counts words.", functions)?;
    let mut settings = Settings::default();
    settings.reserved_user_names = vec![words.author.clone()];
    let cloud = Cloud::builder(store, server_key)
        .settings(settings)
        .runtime(Arc::new(runtime))
        .build()?;
    // Fails if there is a user `app` who can log in.
    cloud.publish_assembly(&words.author, &source).await?;
    Ok((cloud, python))
}

/// Makes one call to each language; what to tell of it.
async fn two_calls() -> Result<Vec<String>, Box<dyn Error>> {
    let server_key = ServerKey::generate(default_backend())?;
    let store = Arc::new(MemoryStore::new());
    let (cloud, python) = cloud(store, server_key, &WORDS).await?;
    let device = DeviceKey::generate(default_backend())?;
    let token = logged_in(&cloud, "ada", &device).await?;
    let ada = cloud.session(&token).await?;

    let words = AssemblyRef::parse("app/Words").ok_or("no name")?;
    cloud.install_assembly(&ada, &words).await?;
    for note in ["to be or", "not to"] {
        let note = NewDocument::new(json!("note"), json!([]), json!(note))?;
        cloud.store_document(&ada, words.clone(), note).await?;
    }
    save(
        &cloud,
        &ada,
        "Greet",
        "hello",
        "return {\"hello\": request.user}",
    )
    .await?;
    let greet = AssemblyRef::parse("ada/Greet").ok_or("no name")?;
    cloud.install_assembly(&ada, &greet).await?;

    let mut told = Vec::new();
    for (assembly, function, language) in [(words, "count", "Rust"), (greet, "hello", "Python")] {
        let (request, name) = (CallRequest::empty(), FunctionName::parse(function)?);
        let answer = cloud.call_function(&ada, &assembly, &name, &request);
        let answer = answer.await?.body;
        let runs = cloud
            .list_runs(&ada, Some(&assembly), Page::first(1))
            .await?;
        let cost = runs.first().map_or(Duration::ZERO, |run| run.cpu_time);
        told.push(format!(
            "{assembly}/{function} in {language}: {answer} ({cost:?} of CPU time)"
        ));
    }
    python.close(Duration::from_secs(5)).await;
    Ok(told)
}

/// Registers somebody, too.
async fn logged_in(
    cloud: &Cloud,
    name: &str,
    device: &DeviceKey,
) -> Result<RequestToken, Box<dyn Error>> {
    let name = UserName::parse(name)?;
    let key = device.public_key().clone();
    cloud.register(name.clone(), key).await?;
    let challenge = cloud.authenticate(&name, &device.key_hash()).await?;
    Ok(device.answer(&challenge, cloud.server_public_key())?)
}

/// Saves an assembly of one function.
async fn save(
    cloud: &Cloud,
    author: &Session,
    assembly: &str,
    function: &str,
    code: &str,
) -> Result<(), Box<dyn Error>> {
    let source = AssemblySource::builder(AssemblyName::parse(assembly)?)
        .functions([Function::new(FunctionName::parse(function)?, code)])
        .access(DataAccess::All)
        .build()?;
    Ok(cloud.save_assembly(author, None, &source).await?)
}

#[cfg(test)]
mod tests;

/// The test program is its own worker.
#[cfg(test)]
fn main() -> std::process::ExitCode {
    pinyto_sandbox::run_worker_if_asked();
    tests::run()
}
