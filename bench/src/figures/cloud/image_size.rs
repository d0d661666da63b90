//! What a registry keeps of each image, and what an instance fetches before its first start: the compressed layers. The
//! Dockerfile's own script puts their content together.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::process::Command;

use crate::{
    Fallible,
    cloud::Service,
    figure::{Figure, Judged},
    process::Programs,
};

const MARK_MB: f64 = 30.0;
const SCRIPT: &str = "infra/containers/assemble.sh";
/// As engines do when they push: gzip at its default level.
const COMPRESSED: &str = "tar --create --sort=name --numeric-owner --directory \"$0\" . | gzip | wc -c";

pub(super) async fn measure(programs: &Programs) -> Fallible<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let images = assemble(programs, folder.path()).await?;
    let base = compressed_mb(&images.join("base")).await?;
    let mut figures = Vec::new();
    for name in names() {
        let own = compressed_mb(&images.join(name)).await?;
        figures.push(Figure {
            name: format!("{name}: image, compressed"),
            unit: "MB",
            mark: MARK_MB,
            judged: Judged::AtMost,
            runs: vec![base + own],
            straight: vec![base],
            notes: vec![format!("straight: the layer that all images share, without a program{}", as_built())],
        });
    }
    Ok(figures)
}

fn names() -> impl Iterator<Item = &'static str> {
    Service::ALL.into_iter().map(Service::name).chain(["parlance"])
}

async fn assemble(programs: &Programs, folder: &Path) -> Fallible<PathBuf> {
    let images = folder.join("images");
    let (target, profile) = match (programs.folder().parent(), programs.folder().file_name()) {
        (Some(target), Some(profile)) => (target, profile),
        _ => return Err(format!("{} is no folder of cargo's", programs.folder().display()).into()),
    };
    let status = Command::new(SCRIPT)
        .arg(if profile == "debug" { "dev".as_ref() } else { profile })
        .arg(&images)
        .args(names())
        .env("CARGO_TARGET_DIR", target)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .await
        .map_err(|error| format!("{SCRIPT}: {error}; it is run in the checkout"))?;
    if status.success() { Ok(images) } else { Err(format!("{SCRIPT}: {status}; it needs Debian's dpkg-query").into()) }
}

async fn compressed_mb(folder: &Path) -> Fallible<f64> {
    let output = Command::new("sh").args(["-c", COMPRESSED]).arg(folder).stderr(Stdio::inherit()).output().await?;
    let bytes: f64 = String::from_utf8_lossy(&output.stdout).trim().parse()?;
    // An empty archive is a few dozen bytes.
    if bytes < 1e3 { Err(format!("{} is empty", folder.display()).into()) } else { Ok(bytes / 1e6) }
}

fn as_built() -> &'static str {
    if cfg!(debug_assertions) { "; not a release build" } else { "" }
}
