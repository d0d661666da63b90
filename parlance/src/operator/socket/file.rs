//! The socket's file. Whoever makes it has the data folder's lock, so one that is there already is a dead process's.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io,
    os::{
        fd::AsRawFd as _,
        unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
};

use tokio::net::{UnixListener, UnixStream};

const NAME: &str = "admin.sock";
/// Where it is made, so that nobody else can connect before its mode is set.
const WORKSHOP: &str = ".admin.sock.new";

/// What a socket's address has room for.
const MAX_ADDRESS: usize = 100;

/// A socket in a folder; removed when dropped.
pub(super) struct SocketFile {
    path: PathBuf,
}

impl SocketFile {
    /// Listens, in place of what a dead process left.
    pub(super) fn listen(folder: &Path) -> io::Result<(Self, UnixListener)> {
        let (workshop, path) = (folder.join(WORKSHOP), folder.join(NAME));
        match fs::remove_dir_all(&workshop) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        DirBuilder::new().mode(0o700).create(&workshop)?;
        let address = Address::of(&workshop)?;
        let listener = UnixListener::bind(&address.path)?;
        let made = workshop.join(NAME);
        fs::set_permissions(&made, Permissions::from_mode(0o600))?;
        fs::rename(&made, &path)?;
        fs::remove_dir(&workshop)?;
        Ok((Self { path }, listener))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // One that stays is replaced by the next process.
        let _ = fs::remove_file(&self.path);
    }
}

/// Connects to the process that listens in a folder.
pub(super) async fn connect(folder: &Path) -> io::Result<UnixStream> {
    let address = Address::of(folder)?;
    UnixStream::connect(&address.path).await
}

/// A folder's path may be longer than an address can be: then the folder is named by its descriptor, open until the drop.
struct Address {
    path: PathBuf,
    _folder: Option<File>,
}

impl Address {
    fn of(folder: &Path) -> io::Result<Self> {
        let path = folder.join(NAME);
        if path.as_os_str().len() <= MAX_ADDRESS {
            return Ok(Self { path, _folder: None });
        }
        let folder = File::open(folder)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{NAME}", folder.as_raw_fd()));
        Ok(Self { path, _folder: Some(folder) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_replaces_a_dead_ones_is_its_owners_alone_and_goes_with_its_process() {
        let folder = tempfile::tempdir().unwrap();
        // Longer than an address.
        let folder = folder.path().join("long".repeat(40));
        fs::create_dir(&folder).unwrap();
        assert!(connect(&folder).await.is_err());
        let (dead, _) = SocketFile::listen(&folder).unwrap();
        std::mem::forget(dead);
        assert!(connect(&folder).await.is_err(), "nobody listens");
        fs::create_dir(folder.join(WORKSHOP)).unwrap();

        let (file, listener) = SocketFile::listen(&folder).unwrap();
        let (accepted, connected) = tokio::join!(listener.accept(), connect(&folder));
        accepted.unwrap();
        connected.unwrap();
        let mode = fs::metadata(folder.join(NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!folder.join(WORKSHOP).exists());
        drop(file);
        assert!(!folder.join(NAME).exists());
    }
}
