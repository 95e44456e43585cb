//! Identifiers that a store gives to what it keeps.

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// Opaque: the store that made it chooses the number and never gives it twice, not even
        /// after what it named is gone.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(i64);

        impl $name {
            /// Wraps the number that the store chose.
            #[must_use]
            pub const fn new(number: i64) -> Self {
                Self(number)
            }

            /// The number that the store chose.
            #[must_use]
            pub const fn get(self) -> i64 {
                self.0
            }
        }
    };
}

id! {
    /// Identifies a user within one store.
    UserId
}
id! {
    /// Identifies a registered key within one store.
    KeyId
}
id! {
    /// Identifies a session within one store.
    SessionId
}
id! {
    /// Identifies an assembly within one store; kept when its author renames it.
    AssemblyId
}
id! {
    /// Identifies an entry of what is to be run within one store.
    JobEntryId
}
