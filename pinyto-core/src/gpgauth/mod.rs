//! gpgAuth: logging in with an OpenPGP key.

mod openpgp;

pub use openpgp::{
    EncryptionError, InvalidMessage, InvalidOpenPgpKey, MAX_KEY, MAX_MESSAGE, MAX_TEXT, OpenPgp,
    OpenPgpError,
};
