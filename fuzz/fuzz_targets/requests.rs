//! The body of every request: read or refused with a sentence, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinyto_http::wire::{
    OnlyToken, Request, assembly::*, decode, document::*, key::*, keyserver::*, user::*,
};

fn read<T: Request>(body: &[u8]) {
    if let Err(reason) = decode::<T>(body) {
        assert!(!reason.to_string().is_empty());
    }
}

fuzz_target!(|body: &[u8]| {
    let Some((which, body)) = body.split_first() else {
        return;
    };
    match which % 12 {
        0 => read::<OnlyToken>(body),
        1 => read::<Register>(body),
        2 => read::<Authenticate>(body),
        3 => read::<RegisterNewKey>(body),
        4 => read::<SetKeyActive>(body),
        5 => read::<DeleteKey>(body),
        6 => read::<KeyserverRegister>(body),
        7 => read::<KeyserverAuthenticate>(body),
        8 => read::<AnyAssembly>(body),
        9 => read::<ListAllAssemblies>(body),
        10 => read::<StoreDocument>(body),
        _ => {
            if let Ok(request) = decode::<SaveAssembly>(body) {
                let _ = request.data.0.into_source();
            }
        }
    }
});
