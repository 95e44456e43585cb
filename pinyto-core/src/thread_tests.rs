//! What is shared goes between threads, and so do futures: this compiles only if they do.

use crate::{
    Background, Cloud, CloudBuilder, Error, Page, Settings,
    assembly::{AssemblyRef, AssemblySource, CallRequest, FunctionName},
    challenge::{Challenge, DeviceKey, RequestToken, ServerKey},
    document::{Document, DocumentId, NewDocument, Search},
    job::Scheduler,
    key::{KeyHash, PublicKey},
    keyserver::{KeyStock, KeyStockRefill, Password},
    memory::MemoryStore,
    portable::{UserExport, UserImport},
    query::Query,
    runtime::CodeRuntime,
    session::Session,
    store::{Store, StoreError},
    ticket::{Audience, TicketVerifier},
    user::UserName,
};

const fn shared<T: Send + Sync + ?Sized + 'static>() {}

const _: () = {
    shared::<Cloud>();
    shared::<CloudBuilder>();
    shared::<Settings>();
    shared::<Error>();
    shared::<Background>();
    shared::<Scheduler>();
    shared::<KeyStock>();
    shared::<KeyStockRefill>();
    shared::<Session>();
    shared::<ServerKey>();
    shared::<DeviceKey>();
    shared::<Challenge>();
    shared::<RequestToken>();
    shared::<Document>();
    shared::<Query>();
    shared::<AssemblySource>();
    shared::<TicketVerifier>();
    shared::<UserExport<'static>>();
    shared::<UserImport>();
    shared::<MemoryStore>();
    shared::<StoreError>();
    shared::<dyn Store>();
    shared::<dyn CodeRuntime>();
};

fn sent<T>(_: impl Future<Output = T> + Send) {}

const _: fn(&Cloud, &Session) = |cloud, session| {
    // Whatever isn't a reference would have to be made.
    fn some<T>() -> T {
        unreachable!("it is never called")
    }
    let (assembly, query) = (&some::<AssemblyRef>(), &some::<Query>());
    sent(cloud.register(some::<UserName>(), some::<PublicKey>()));
    sent(cloud.authenticate(&some(), &some::<KeyHash>()));
    sent(cloud.session(&some::<RequestToken>()));
    sent(cloud.logout(session));
    sent(cloud.keyserver_register(some(), some::<Password>()));
    sent(cloud.keyserver_authenticate(&some(), some()));
    sent(cloud.list_keys(session));
    sent(cloud.save_assembly(session, None, &some::<AssemblySource>()));
    sent(cloud.publish_assembly(&some(), &some()));
    sent(cloud.install_bundled_assemblies());
    sent(cloud.install_assembly(session, assembly));
    sent(cloud.call_function(
        session,
        assembly,
        &some::<FunctionName>(),
        &some::<CallRequest>(),
    ));
    sent(cloud.store_document(session, some(), some::<NewDocument>()));
    sent(cloud.find_document(session, some::<DocumentId>()));
    sent(cloud.search_documents(session, some::<Search>()));
    sent(cloud.search_documents_as_json(session, some()));
    sent(cloud.count_documents(session, query));
    sent(cloud.distinct_values(session, query, &some()));
    sent(cloud.save_document(session, some::<Document>()));
    sent(cloud.remove_document(session, some()));
    sent(cloud.list_jobs(session, some::<Page>()));
    sent(cloud.statistics(session));
    sent(cloud.issue_ticket(session, &some::<Audience>()));
    sent(cloud.background().run(std::future::pending()));
    sent(cloud.close(some()));
};
