use crate::{
    assembly::{AssemblyRef, AuthorLimits},
    cloud::Settings,
    user::UserName,
};

/// What an import does with its lines, and within which limits.
#[derive(Clone, Debug)]
pub struct ImportSettings {
    pub(in crate::portable) user: Option<UserName>,
    pub(in crate::portable) assembly: Option<AssemblyRef>,
    pub(in crate::portable) kind: Option<String>,
    pub(in crate::portable) reserved_user_names: Vec<UserName>,
    pub(in crate::portable) max_keys: usize,
    pub(in crate::portable) max_installed: usize,
    pub(in crate::portable) author_limits: AuthorLimits,
    pub(in crate::portable) max_bytes: Option<u64>,
}

impl ImportSettings {
    /// With the limits that users of a cloud with these settings have, and the names that it
    /// reserves: a user of such a name is not made, but one who is there can be named.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            user: None,
            assembly: None,
            kind: None,
            reserved_user_names: settings.reserved_user_names.clone(),
            max_keys: settings.max_keys,
            max_installed: settings.max_installed,
            author_limits: settings.author_limits,
            max_bytes: settings.quotas.bytes,
        }
    }

    /// Whose all of it becomes; by default the user's whom the lines name, if there is none of her
    /// name yet. Lines alone don't choose which account is changed.
    #[must_use]
    pub fn user(mut self, user: UserName) -> Self {
        self.user = Some(user);
        self
    }

    /// The assembly of documents that name none, or one that is not here.
    #[must_use]
    pub fn assembly(mut self, assembly: AssemblyRef) -> Self {
        self.assembly = Some(assembly);
        self
    }

    /// The type of documents of MongoDB's that have none.
    #[must_use]
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = Some(kind.into());
        self
    }

    /// Whether a user of that name can't be made.
    pub(in crate::portable) fn reserve(&self, name: &UserName) -> bool {
        name.is_reserved() || name.is_among(&self.reserved_user_names)
    }
}
