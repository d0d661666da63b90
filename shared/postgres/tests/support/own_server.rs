//! A Postgres of a test's own, from the binaries of the server that tests run against: one that can be stopped, that
//! encrypts, that asks for passwords.

#![allow(clippy::print_stderr, reason = "says what was not run")]

use std::{
    net::TcpListener,
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use parlance_shared::settings::{PostgresSettings, Secret, SslMode};
use sqlx::{ConnectOptions as _, postgres::PgConnectOptions};
use tempfile::TempDir;

use super::connect;

pub struct OwnServer {
    /// The superuser, through the socket.
    pub admin: PostgresSettings,
    /// The authority that signed its certificate.
    pub root_cert: PathBuf,
    folder: TempDir,
    binaries: PathBuf,
    user: Option<(u32, u32)>,
    process: Option<Child>,
}

/// What `admin` and others have for a password.
pub const PASSWORD: &str = "correct horse";

impl OwnServer {
    /// `None`, with a word about it, where the test server's binaries are not on this machine.
    pub async fn start(server: &PostgresSettings) -> Option<Self> {
        let mut connection = connect(server).await;
        let binaries: String = sqlx::query_scalar("SELECT setting FROM pg_config WHERE name = 'BINDIR'")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        let data: String =
            sqlx::query_scalar("SELECT current_setting('data_directory')").fetch_one(&mut connection).await.unwrap();
        let binaries = PathBuf::from(binaries);
        if !binaries.join("initdb").exists() || Command::new("openssl").arg("version").output().is_err() {
            eprintln!("not run: needs initdb and openssl on this machine");
            return None;
        }
        // Postgres refuses to run as root; whoever runs the test server will do.
        let me = std::fs::metadata("/proc/self").unwrap().uid();
        let user = std::fs::metadata(data).ok().filter(|_| me == 0).map(|data| (data.uid(), data.gid()));
        let folder = TempDir::new().unwrap();
        if let Some((uid, gid)) = user {
            std::os::unix::fs::chown(folder.path(), Some(uid), Some(gid)).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let admin = PostgresSettings {
            host: folder.path().to_str().unwrap().to_owned(),
            port,
            name: "postgres".to_owned(),
            user: "admin".to_owned(),
            password: Some(Secret::new(PASSWORD)),
            ssl: SslMode::Disable,
            ssl_root_cert: None,
            ..server.clone()
        };
        let root_cert = folder.path().join("root.crt");
        let mut own = Self { admin, root_cert, folder, binaries, user, process: None };
        own.make();
        own.up().await;
        Some(own)
    }

    fn make(&self) {
        let folder = self.folder.path();
        std::fs::write(folder.join("password"), PASSWORD).unwrap();
        std::fs::write(folder.join("san"), "subjectAltName=DNS:localhost").unwrap();
        let hba = "local all all trust\n\
             hostnossl encrypted,iam all all reject\n\
             hostssl iam all 127.0.0.1/32 password\n\
             host all all 127.0.0.1/32 scram-sha-256\n";
        std::fs::write(folder.join("hba"), hba).unwrap();
        let initdb = self.binaries.join("initdb");
        self.run(
            initdb.to_str().unwrap(),
            "-D data -U admin --pwfile=password -A scram-sha-256 -E UTF8 --no-locale -N",
        );
        self.run("cp", "hba data/pg_hba.conf");
        for request in [
            "req -x509 -newkey rsa:2048 -nodes -keyout root.key -out root.crt -days 2 -subj /CN=Test-authority",
            "req -newkey rsa:2048 -nodes -keyout data/server.key -out server.csr -subj /CN=localhost",
            "x509 -req -in server.csr -CA root.crt -CAkey root.key -CAcreateserial -out data/server.crt -days 2 -extfile san",
        ] {
            self.run("openssl", request);
        }
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder.path()).stdin(Stdio::null()).env_remove("CARGO_TARGET_DIR");
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }

    fn run(&self, program: &str, arguments: &str) {
        let output = self.command(Path::new(program)).args(arguments.split(' ')).output().unwrap();
        assert!(output.status.success(), "{program} {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Starts it and waits until it takes connections.
    pub async fn up(&mut self) {
        let (port, socket) = (self.admin.port.to_string(), self.folder.path().to_str().unwrap().to_owned());
        let mut command = self.command(&self.binaries.join("postgres"));
        command.args(["-D", "data", "-h", "127.0.0.1", "-p", &port, "-k", &socket]);
        command.args(["-c", "ssl=on", "-c", "fsync=off", "-c", "max_connections=20"]);
        self.process = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let options = PgConnectOptions::new_without_pgpass().socket(&socket).port(self.admin.port).username("admin");
        let options = options.database("postgres");
        for _ in 0..300 {
            if options.connect().await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the test's own Postgres does not start");
    }

    /// Stops it as a crash of its machine would.
    pub fn crash(&mut self) {
        if let Some(mut process) = self.process.take() {
            // An immediate shutdown: nothing is finished, the next start recovers from the log.
            self.run("kill", &format!("-QUIT {}", process.id()));
            process.wait().unwrap();
        }
    }

    /// As this user, through TCP.
    pub fn over_tcp(&self, user: &str, database: &str) -> PostgresSettings {
        PostgresSettings {
            host: "127.0.0.1".to_owned(),
            name: database.to_owned(),
            user: user.to_owned(),
            ..self.admin.clone()
        }
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
