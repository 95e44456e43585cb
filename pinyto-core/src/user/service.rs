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
        refuse_reserved(&name)?;
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
}

pub(crate) fn refuse_reserved(name: &UserName) -> Result<(), Error> {
    if name.is_reserved() {
        Err(Error::ReservedUserName)
    } else {
        Ok(())
    }
}
