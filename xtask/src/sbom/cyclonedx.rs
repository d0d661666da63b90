//! Writes CycloneDX 1.6 in JSON (ECMA-424).

use std::fmt::Write as _;

use super::{
    crates::{Crate, Crates},
    lock::Checksums,
};

/// The document. `debian` has a line `NAME VERSION ARCHITECTURE` for each package, `toolchain` is what `rustc --version` says.
pub(super) fn document(
    program: &Crate,
    crates: &Crates,
    checksums: &Checksums,
    debian: &str,
    toolchain: &str,
) -> Result<String, String> {
    let mut components: Vec<String> = Vec::new();
    for found in crates.keys().filter(|found| *found != program) {
        components.push(of_crate(found, checksums)?);
    }
    let rust = toolchain.split(' ').nth(1).ok_or_else(|| format!("rustc calls itself {toolchain:?}"))?;
    components.push(of_rust(rust));
    for line in debian.lines() {
        components.push(of_debian(line)?);
    }
    let dependencies: Vec<String> = crates.iter().map(|(found, below)| depends(found, below.iter())).collect();
    let (name, purl) = (text(&program.name), text(&program.purl()));
    let version = text(&program.version);
    Ok(format!(
        "{{\n\"bomFormat\": \"CycloneDX\",\n\"specVersion\": \"1.6\",\n\"version\": 1,\n\"metadata\": {{\"component\": \
         {{\"type\": \"application\", \"bom-ref\": {purl}, \"name\": {name}, \"version\": {version}, \"purl\": {purl}}}}},\n\
         \"components\": [\n{}\n],\n\"dependencies\": [\n{}\n]\n}}\n",
        components.join(",\n"),
        dependencies.join(",\n")
    ))
}

fn of_crate(found: &Crate, checksums: &Checksums) -> Result<String, String> {
    let purl = text(&found.purl());
    let mut json = format!(
        "{{\"type\": \"library\", \"bom-ref\": {purl}, \"name\": {}, \"version\": {}, \"purl\": {purl}",
        text(&found.name),
        text(&found.version)
    );
    match checksums.get(&(found.name.clone(), found.version.clone())) {
        Some(sum) => {
            write(&mut json, format_args!(", \"hashes\": [{{\"alg\": \"SHA-256\", \"content\": {}}}]", text(sum)))
        }
        None if found.is_ours => {}
        None => return Err(format!("{} {} has no checksum in Cargo.lock", found.name, found.version)),
    }
    if !found.license.is_empty() {
        write(&mut json, format_args!(", \"licenses\": [{{\"expression\": {}}}]", text(&found.license)));
    }
    if found.repository.starts_with("https://") {
        let url = text(&found.repository);
        write(&mut json, format_args!(", \"externalReferences\": [{{\"type\": \"vcs\", \"url\": {url}}}]"));
    }
    json.push('}');
    Ok(json)
}

/// The standard library is linked into the program.
fn of_rust(version: &str) -> String {
    let purl = text(&format!("pkg:generic/rust@{version}"));
    format!(
        "{{\"type\": \"library\", \"bom-ref\": {purl}, \"name\": \"rust\", \"version\": {}, \"purl\": {purl}}}",
        text(version)
    )
}

fn of_debian(line: &str) -> Result<String, String> {
    let mut words = line.split_whitespace();
    let (Some(name), Some(version), Some(architecture), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(format!("this is no package of the system: {line:?}"));
    };
    let escaped = version.replace('+', "%2B").replace(':', "%3A");
    let purl = text(&format!("pkg:deb/debian/{name}@{escaped}?arch={architecture}"));
    Ok(format!(
        "{{\"type\": \"library\", \"bom-ref\": {purl}, \"name\": {}, \"version\": {}, \"purl\": {purl}}}",
        text(name),
        text(version)
    ))
}

fn depends<'a>(found: &Crate, below: impl Iterator<Item = &'a Crate>) -> String {
    let on: Vec<String> = below.map(|below| text(&below.purl())).collect();
    format!("{{\"ref\": {}, \"dependsOn\": [{}]}}", text(&found.purl()), on.join(", "))
}

/// A JSON string.
fn text(value: &str) -> String {
    let mut json = String::from("\"");
    for character in value.chars() {
        match character {
            '"' | '\\' => json.extend(['\\', character]),
            control if control < ' ' => write(&mut json, format_args!("\\u{:04x}", u32::from(control))),
            other => json.push(other),
        }
    }
    json.push('"');
    json
}

/// Text grows without fail.
fn write(json: &mut String, more: std::fmt::Arguments<'_>) {
    let _ = json.write_fmt(more);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, is_ours: bool) -> Crate {
        let [version, license, repository] = ["1.0.0", "MIT", "https://example.org"].map(str::to_owned);
        Crate { name: name.to_owned(), version, license, repository, is_ours }
    }

    #[test]
    fn everything_that_is_in_the_image_is_named() {
        let (own, other) = (found("own", true), found("other", false));
        let crates = Crates::from([(own.clone(), [other.clone()].into()), (other, [].into())]);
        let sums = Checksums::from([(("other".to_owned(), "1.0.0".to_owned()), "abc".to_owned())]);
        let json =
            document(&own, &crates, &sums, "libc6 2.36-9+deb12u14 amd64\n", "rustc 1.95.0 (59807616e 2026-04-14)")
                .unwrap();
        assert!(json.contains(r#"{"alg": "SHA-256", "content": "abc"}"#), "{json}");
        assert!(json.contains("pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=amd64"), "{json}");
        assert!(json.contains("pkg:generic/rust@1.95.0"), "{json}");
        assert!(json.contains(r#"{"ref": "pkg:cargo/own@1.0.0", "dependsOn": ["pkg:cargo/other@1.0.0"]}"#), "{json}");
    }

    #[test]
    fn a_download_without_a_checksum_is_refused() {
        let (own, other) = (found("own", true), found("other", false));
        let crates = Crates::from([(own.clone(), [other.clone()].into()), (other, [].into())]);
        let why = document(&own, &crates, &Checksums::new(), "", "rustc 1.95.0").unwrap_err();
        assert_eq!(why, "other 1.0.0 has no checksum in Cargo.lock");
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(text("a\"b\\c\n"), r#""a\"b\\c\u000a""#);
    }
}
