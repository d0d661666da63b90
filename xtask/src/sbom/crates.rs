//! Reads `cargo tree`: which crates a program holds, and which of them asks for which.

use std::collections::{BTreeMap, BTreeSet};

/// What `cargo tree` prints of each crate, after its depth.
pub(super) const FORMAT: &str = "|{p}|{l}|{r}|";

/// A crate of one version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Crate {
    pub(super) name: String,
    pub(super) version: String,
    /// An SPDX expression, or empty.
    pub(super) license: String,
    /// A URL, or empty.
    pub(super) repository: String,
    /// Of this workspace.
    pub(super) is_ours: bool,
}

impl Crate {
    /// As package URLs name it.
    pub(super) fn purl(&self) -> String {
        // Of the characters in versions only the plus sign has a meaning there.
        format!("pkg:cargo/{}@{}", self.name, self.version.replace('+', "%2B"))
    }
}

/// The crates of a program: each with those that it asks for itself.
pub(super) type Crates = BTreeMap<Crate, BTreeSet<Crate>>;

/// The program's own crate, and everything below it.
pub(super) fn of(program: &str, tree: &str) -> Result<(Crate, Crates), String> {
    let asked = edges(tree)?;
    let own = asked.keys().find(|found| found.is_ours && found.name == program);
    let own = own.ok_or_else(|| format!("cargo tree does not name {program}"))?.clone();
    let mut crates = Crates::new();
    let mut open = vec![own.clone()];
    while let Some(next) = open.pop() {
        let below = asked.get(&next).cloned().unwrap_or_default();
        open.extend(below.iter().filter(|below| !crates.contains_key(below)).cloned());
        crates.insert(next, below);
    }
    Ok((own, crates))
}

/// A crate's own lines follow only the first time that it is printed.
fn edges(tree: &str) -> Result<Crates, String> {
    let mut edges = Crates::new();
    let mut above: Vec<Crate> = Vec::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let (depth, found) = read(line).ok_or_else(|| format!("cargo tree printed {line:?}"))?;
        above.truncate(depth);
        if let Some(parent) = above.last() {
            edges.entry(parent.clone()).or_default().insert(found.clone());
        }
        edges.entry(found.clone()).or_default();
        above.push(found);
    }
    Ok(edges)
}

/// `2|serde v1.0.229|MIT OR Apache-2.0|https://github.com/serde-rs/serde| (*)`
fn read(line: &str) -> Option<(usize, Crate)> {
    let mut fields = line.split('|');
    let depth = fields.next()?.parse().ok()?;
    let (package, license, repository) = (fields.next()?, fields.next()?, fields.next()?);
    fields.next()?;
    let mut words = package.split(' ');
    let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
    let found = Crate {
        name: name.to_owned(),
        version: version.to_owned(),
        // Crates of an older edition write a slash.
        license: license.replace('/', " OR ").replace("  ", " "),
        repository: repository.to_owned(),
        is_ours: words.next().is_some_and(|from| from.starts_with("(/")),
    };
    Some((depth, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "\
0|one v0.1.0 (/src/one)|MIT||
1|shared v0.1.0 (/src/shared)|MIT||
2|serde v1.0.2|MIT/Apache-2.0|https://github.com/serde-rs/serde|
1|serde v1.0.2|MIT/Apache-2.0|https://github.com/serde-rs/serde| (*)

0|two v0.1.0 (/src/two)|MIT||
1|shared v0.1.0 (/src/shared)|MIT|| (*)
1|other v2.0.0+zlib|MIT||
";

    fn names<'a>(crates: impl IntoIterator<Item = &'a Crate>) -> Vec<&'a str> {
        crates.into_iter().map(|found| found.name.as_str()).collect()
    }

    #[test]
    fn a_program_has_what_is_below_it_also_where_it_was_printed_before() {
        let (own, crates) = of("two", TREE).unwrap();
        assert_eq!(names(crates.keys()), ["other", "serde", "shared", "two"]);
        assert_eq!(names(&crates[&own]), ["other", "shared"]);
        let (own, crates) = of("one", TREE).unwrap();
        assert_eq!(names(crates.keys()), ["one", "serde", "shared"]);
        assert_eq!(names(&crates[&own]), ["serde", "shared"]);
        assert_eq!(of("three", TREE).unwrap_err(), "cargo tree does not name three");
    }

    #[test]
    fn a_line_is_read_or_refused() {
        let (depth, found) = read("2|serde v1.0.2|MIT/Apache-2.0|https://github.com/serde-rs/serde| (*)").unwrap();
        assert_eq!((depth, found.version.as_str(), found.license.as_str()), (2, "1.0.2", "MIT OR Apache-2.0"));
        assert!(!found.is_ours);
        let (_, found) = read("1|other v2.0.0+zlib|MIT||").unwrap();
        assert_eq!(found.purl(), "pkg:cargo/other@2.0.0%2Bzlib");
        assert!(edges("nonsense").is_err());
    }
}
