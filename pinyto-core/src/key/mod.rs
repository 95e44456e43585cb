//! The public keys of users: an RSA key per device, and OpenPGP keys.

mod fingerprint;
mod material;
mod public_key;
mod repository;
mod service;

pub use fingerprint::{InvalidKeyHash, KeyFingerprint, KeyHash};
pub use material::{KeyMaterial, OpenPgpKey, OpenPgpParts};
pub use public_key::{InvalidPublicKey, PublicKey};
pub use repository::{AddKeyOutcome, KeyChange, KeyRepository, ProveKeyOutcome};
pub use service::ListedKey;

use crate::{
    clock::Timestamp,
    id::{KeyId, UserId},
};

/// A key that is to be registered.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewKey {
    /// The public half.
    pub material: KeyMaterial,
    /// What the user calls the device, if she said.
    pub label: Option<KeyLabel>,
}

impl NewKey {
    /// A key without a label.
    #[must_use]
    pub fn new(material: impl Into<KeyMaterial>) -> Self {
        Self {
            material: material.into(),
            label: None,
        }
    }

    /// The same key with a label, or without one.
    #[must_use]
    pub fn labelled(self, label: impl Into<Option<KeyLabel>>) -> Self {
        Self {
            label: label.into(),
            ..self
        }
    }
}

/// Whether one can log in with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// One can.
    Active,
    /// One can't, until it is activated.
    Inactive,
}

impl KeyState {
    /// What [`Key::active`] says.
    #[must_use]
    pub const fn from_active(active: bool) -> Self {
        match active {
            true => Self::Active,
            false => Self::Inactive,
        }
    }

    /// Whether one can log in with the key.
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Active)
    }
}

/// A registered key.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Key {
    /// The store's identifier.
    pub id: KeyId,
    /// Whose key it is.
    pub user: UserId,
    /// The public half.
    pub material: KeyMaterial,
    /// What the user calls the device, if she said.
    pub label: Option<KeyLabel>,
    /// Whether one can log in with it.
    pub active: bool,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When a session of it was last made or renewed, or its holder last
    /// [proved](KeyRepository::prove) to have it, if ever.
    pub last_used_at: Option<Timestamp>,
}

impl Key {
    /// An active key without a label that was registered then, and not used since.
    #[must_use]
    pub const fn new(
        id: KeyId,
        user: UserId,
        material: KeyMaterial,
        created_at: Timestamp,
    ) -> Self {
        Self {
            id,
            user,
            material,
            label: None,
            active: true,
            created_at,
            last_used_at: None,
        }
    }
}

impl Key {
    /// Whether nobody has proved to have the key, and it [has to be](KeyMaterial::needs_proof)
    /// before it can be active.
    #[must_use]
    pub const fn is_unproven(&self) -> bool {
        self.material.needs_proof() && self.last_used_at.is_none()
    }

    /// What is to become of it if its user registers `new`, which has its fingerprint: another
    /// certificate of an OpenPGP key takes the place of the former one, unless that is valid longer.
    /// Only who has the key can have made it, but it may have been long ago.
    #[must_use]
    pub fn registered_again(&self, new: &KeyMaterial) -> AddKeyOutcome {
        if self.material == *new || !(self.material.needs_proof() && new.needs_proof()) {
            AddKeyOutcome::AlreadyRegistered
        } else if self.material.outlasts(new) {
            AddKeyOutcome::Outlasted
        } else {
            AddKeyOutcome::Renewed(self.id)
        }
    }
}

/// What a user calls the device of a key: 1 to 100 characters, none of them a control character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyLabel(String);

/// Why a text is no key label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("A key's label has 1 to {max} characters, none of them a control character.", max = KeyLabel::MAX_LENGTH)]
#[non_exhaustive]
pub struct InvalidKeyLabel;

impl InvalidKeyLabel {
    /// A stable name of the error for programs, in `snake_case`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "invalid_key_label"
    }
}

impl KeyLabel {
    /// The most characters a label may have.
    pub const MAX_LENGTH: usize = 100;

    /// Checks `text`.
    ///
    /// # Errors
    ///
    /// [`InvalidKeyLabel`] if it is empty, too long or has a control character.
    pub fn parse(text: &str) -> Result<Self, InvalidKeyLabel> {
        let length = text.chars().take(Self::MAX_LENGTH + 1).count();
        if (1..=Self::MAX_LENGTH).contains(&length) && !text.chars().any(char::is_control) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidKeyLabel)
        }
    }

    /// The label as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
