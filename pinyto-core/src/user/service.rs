use super::{NewUser, RegisterOutcome, User, UserName};
use crate::{
    audit::Event,
    cloud::Cloud,
    error::Error,
    key::{NewKey, PublicKey},
};

impl Cloud {
    /// Registers a user with her first key.
    ///
    /// # Errors
    ///
    /// [`Error::ReservedUserName`] or [`Error::UserNameTaken`].
    pub async fn register(&self, name: UserName, public_key: PublicKey) -> Result<User, Error> {
        self.refuse_reserved(&name)?;
        let key = NewKey {
            material: public_key.into(),
            label: None,
        };
        let user = NewUser {
            name,
            key,
            further_keys: Vec::new(),
            at: self.now(),
        };
        match self.store().users().register(&user).await? {
            RegisterOutcome::Registered(registered) => {
                self.audit(
                    Event::Registered,
                    Some(&user.name),
                    Some(user.key.material.fingerprint()),
                );
                Ok(registered)
            }
            RegisterOutcome::NameTaken => Err(Error::UserNameTaken),
        }
    }

    /// Refuses names that nobody can register here.
    pub(crate) fn refuse_reserved(&self, name: &UserName) -> Result<(), Error> {
        if name.is_reserved() || name.is_among(&self.settings().reserved_user_names) {
            Err(Error::ReservedUserName)
        } else {
            Ok(())
        }
    }
}
