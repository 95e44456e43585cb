use super::{
    AssemblyName, AssemblySource, AuthorLimits, DataAccess, Function, FunctionName,
    InvalidAssemblyName,
};
use crate::{cloud::Cloud, error::Error, user::UserName};

/// Name, description, functions and `only_own_data` of each bundled assembly.
type Bundle = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    bool,
);

const BUNDLES: &[Bundle] = &[
    (
        "DocumentsAdmin",
        "Search, save and delete all documents of an account.",
        &[
            ("search", include_str!("bundled/documents_admin/search.py")),
            ("save", include_str!("bundled/documents_admin/save.py")),
            ("delete", include_str!("bundled/documents_admin/delete.py")),
        ],
        false,
    ),
    (
        "Todo",
        "A list of things to do, by priority.",
        &[
            ("get_list", include_str!("bundled/todo/get_list.py")),
            ("save", include_str!("bundled/todo/save.py")),
            ("delete", include_str!("bundled/todo/delete.py")),
        ],
        true,
    ),
];

/// The assemblies that come with the server, written by [`BUNDLED_AUTHOR`](crate::user::BUNDLED_AUTHOR).
///
/// # Errors
///
/// None in fact: a test reads them all.
pub fn bundled_assemblies() -> Result<Vec<AssemblySource>, Error> {
    BUNDLES.iter().map(assemble).collect()
}

fn assemble(
    &(name, description, functions, only_own_data): &Bundle,
) -> Result<AssemblySource, Error> {
    let functions = functions
        .iter()
        .map(|&(name, code)| Ok(Function::new(FunctionName::parse(name)?, code)))
        .collect::<Result<Vec<_>, InvalidAssemblyName>>()?;
    let source = AssemblySource::builder(AssemblyName::parse(name)?)
        .description(description)
        .functions(functions)
        .access(DataAccess::from_only_own_data(only_own_data));
    Ok(source.build()?)
}

impl Cloud {
    /// Makes sure that the bundled assemblies are there, as this version has them. Call it once at
    /// the start; it writes only what differs.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] if the store failed; [`Error::AuthorHasKeys`] if somebody can log in as
    /// their author, which the reserved name excludes.
    pub async fn install_bundled_assemblies(&self) -> Result<(), Error> {
        let author = UserName::bundled_author();
        let limits = AuthorLimits {
            assemblies: usize::MAX,
            bytes: u64::MAX,
        };
        for source in bundled_assemblies()? {
            if let Some(author) = self.unless_published(&author, &source).await? {
                self.save_as(author, Some(source.name()), &source, limits)
                    .await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_assemblies_are_well_formed() {
        let names = |source: &AssemblySource| -> Vec<String> {
            source
                .api_functions()
                .iter()
                .map(|function| function.name.to_string())
                .collect()
        };
        let [admin, todo] = bundled_assemblies().unwrap().try_into().unwrap();
        assert_eq!(admin.name().as_str(), "DocumentsAdmin");
        assert_eq!(names(&admin), ["search", "save", "delete"]);
        assert!(!admin.only_own_data());
        assert_eq!(todo.name().as_str(), "Todo");
        assert_eq!(names(&todo), ["get_list", "save", "delete"]);
        assert!(todo.only_own_data());
    }
}
