//! Which database, and how to reach it: `DATABASE_URL`, or `DB_TYPE` with the `DB_…` parts.

use std::{fmt, path::PathBuf, time::Duration};

use super::{Secret, iam_auth, read::Reader};

/// Where everything but the bus is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseSettings {
    /// The embedded one, in `DATA_DIR`. `chosen`: `DB_TYPE` says so, it is not just the default.
    Sqlite {
        /// Whether it was asked for by name.
        chosen: bool,
    },
    /// Postgres.
    Postgres(PostgresSettings),
}

/// How to reach Postgres.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresSettings {
    /// `DB_HOST`: a host name or address, or a folder with a Unix socket such as `/cloudsql/PROJECT:REGION:INSTANCE`.
    pub host: String,
    /// `DB_PORT`.
    pub port: u16,
    /// `DB_NAME`.
    pub name: String,
    /// `DB_USER`.
    pub user: String,
    /// `DB_PASSWORD`; none with a server that trusts the connection.
    pub password: Option<Secret>,
    /// `DB_IAM_AUTH`: each connection logs in with an access token of this process's Google account as its password.
    pub iam_auth: bool,
    /// `DB_ROLE`: as whom each connection works once it has logged in (`SET ROLE`); none: as the user.
    pub role: Option<String>,
    /// `DB_SSL`.
    pub ssl: SslMode,
    /// `DB_SSL_ROOT_CERT`: a PEM file with the authority that signed the server's certificate.
    pub ssl_root_cert: Option<PathBuf>,
    /// `DB_POOL_SIZE`: connections of this process at most, besides up to three that the reply log holds for itself.
    pub pool_size: u32,
    /// `DB_STATEMENT_TIMEOUT`: the server gives up on a statement that takes longer.
    pub statement_timeout: Duration,
    /// `DB_CONNECT_TIMEOUT`: for a connection to be made, or to become free.
    pub connect_timeout: Duration,
}

impl PostgresSettings {
    /// Whether the server is reached over a Unix socket.
    pub fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }
}

impl fmt::Debug for PostgresSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresSettings")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("name", &self.name)
            .field("user", &self.user)
            .field("password", &self.password)
            .field("iam_auth", &self.iam_auth)
            .field("role", &self.role)
            .field("ssl", &self.ssl)
            .field("pool_size", &self.pool_size)
            .finish_non_exhaustive()
    }
}

/// How much the connection is protected, in Postgres' own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    /// Never encrypted.
    Disable,
    /// Encrypted if the server can.
    Prefer,
    /// Encrypted; the server's certificate is not checked.
    Require,
    /// Encrypted; the certificate must be signed by a known authority.
    VerifyCa,
    /// Also made out for the host.
    VerifyFull,
}

const SSL_MODES: [(&str, SslMode); 5] = [
    ("disable", SslMode::Disable),
    ("prefer", SslMode::Prefer),
    ("require", SslMode::Require),
    ("verify-ca", SslMode::VerifyCa),
    ("verify-full", SslMode::VerifyFull),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sqlite,
    Postgres,
}

const URL_ACCEPTED: &str = "postgres://USER:PASSWORD@HOST:PORT/NAME, with ?host=/SOCKET/FOLDER for a Unix socket and \
     ?sslmode=disable, prefer, require, verify-ca or verify-full";

/// The parts of a Postgres URL that say where the server is.
#[derive(Default)]
struct Parts {
    host: Option<String>,
    port: Option<u16>,
    name: Option<String>,
    user: Option<String>,
    password: Option<Secret>,
    ssl: Option<SslMode>,
}

pub(super) fn read_database(read: &mut Reader<'_>, production: bool) -> DatabaseSettings {
    let kind = read.choice("DB_TYPE", &[("sqlite", Kind::Sqlite), ("postgres", Kind::Postgres)]);
    let url = read.text("DATABASE_URL");
    if url.is_some() && kind == Some(Kind::Sqlite) {
        read.refuse("DATABASE_URL", "is set although DB_TYPE is sqlite".to_owned(), "one of the two");
    }
    let parts = match url {
        Some(url) => match parse_url(&url) {
            Ok(parts) => parts,
            Err(problem) => {
                read.refuse("DATABASE_URL", problem, URL_ACCEPTED);
                Parts::default()
            }
        },
        None if kind == Some(Kind::Postgres) => Parts::default(),
        None => {
            let stray =
                ["DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_PASSWORD", "DB_ROLE", "DB_SSL", "DB_SSL_ROOT_CERT"];
            let iam_auth = iam_auth::is_on(read).then_some("DB_IAM_AUTH");
            if let Some(name) = stray.into_iter().find(|name| read.text(name).is_some()).or(iam_auth) {
                read.refuse(
                    name,
                    "is set, but the embedded database has no such thing".to_owned(),
                    "DB_TYPE=postgres with it, or nothing",
                );
            }
            return DatabaseSettings::Sqlite { chosen: kind.is_some() };
        }
    };
    DatabaseSettings::Postgres(read_postgres(read, parts, production))
}

fn read_postgres(read: &mut Reader<'_>, parts: Parts, production: bool) -> PostgresSettings {
    let given_url = parts.host.is_some();
    let iam_auth = iam_auth::is_on(read);
    if iam_auth {
        iam_auth::check_login(read, parts.user.as_deref(), parts.password.is_some());
    }
    let mut part = |name: &'static str, of_url: Option<String>, default: Option<&str>, accepted: &str| {
        let own = read.text(name);
        match own.or(of_url).or_else(|| default.map(str::to_owned)) {
            Some(value) => value,
            None => {
                if !given_url && read.text("DATABASE_URL").is_none() {
                    read.refuse(name, "is missing although DB_TYPE is postgres".to_owned(), accepted);
                }
                String::new()
            }
        }
    };
    let host = part("DB_HOST", parts.host, None, "a host, or a folder with a socket such as /cloudsql/INSTANCE");
    let name = part("DB_NAME", parts.name, Some("parlance"), "a database's name");
    let user = part("DB_USER", parts.user, Some("parlance"), "a role's name");
    let is_socket = host.starts_with('/');
    let is_here = is_socket || matches!(host.as_str(), "localhost" | "127.0.0.1" | "::1");
    let default_ssl = match () {
        () if is_socket => SslMode::Disable,
        () if iam_auth => SslMode::Require,
        // Across a network the password and every message would be readable otherwise.
        () if production && !is_here => SslMode::Require,
        () => SslMode::Prefer,
    };
    let ssl = read.choice("DB_SSL", &SSL_MODES).or(parts.ssl).unwrap_or(default_ssl);
    if iam_auth && !is_socket && !host.is_empty() {
        iam_auth::check_ssl(read, ssl);
    }
    PostgresSettings {
        host,
        port: read.parsed("DB_PORT", "a port number from 1 to 65535").or(parts.port).unwrap_or(5432),
        name,
        user,
        password: read.text("DB_PASSWORD").map(Secret::new).or(parts.password),
        iam_auth,
        role: read_role(read),
        ssl,
        ssl_root_cert: read.text("DB_SSL_ROOT_CERT").map(PathBuf::from),
        pool_size: read.number("DB_POOL_SIZE", 1, 500).unwrap_or(8) as u32,
        statement_timeout: read.duration("DB_STATEMENT_TIMEOUT").unwrap_or(Duration::from_secs(10)),
        connect_timeout: read.duration("DB_CONNECT_TIMEOUT").unwrap_or(Duration::from_secs(5)),
    }
}

/// It goes to the server within a list of options, where spaces and backslashes would begin another one.
fn read_role(read: &mut Reader<'_>) -> Option<String> {
    let role = read.text("DB_ROLE")?;
    let is_name = role.len() <= 63 && role.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.@$".contains(&b));
    if !is_name {
        let accepted = "the name of a role that the user is a member of: up to 63 letters, digits, _, -, ., @ and $";
        read.refuse("DB_ROLE", format!("{role:?} was given"), accepted);
    }
    is_name.then_some(role)
}

/// What is wrong is said without the URL: it may hold a password.
fn parse_url(text: &str) -> Result<Parts, String> {
    let url = url::Url::parse(text).map_err(|_| "the given value is no URL".to_owned())?;
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err(format!("a {} URL was given", url.scheme()));
    }
    let decoded = |part: &str| {
        let pair = format!("x={}", part.replace('+', "%2B"));
        url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned())
    };
    let mut parts = Parts {
        host: url.host_str().filter(|host| !host.is_empty()).and_then(decoded).map(unbracketed),
        port: url.port(),
        name: Some(url.path().trim_start_matches('/')).filter(|name| !name.is_empty()).and_then(decoded),
        user: Some(url.username()).filter(|user| !user.is_empty()).and_then(decoded),
        password: url.password().and_then(decoded).map(Secret::new),
        ssl: None,
    };
    for (key, value) in url.query_pairs() {
        match &*key {
            "host" => parts.host = Some(value.into_owned()),
            "port" => parts.port = Some(value.parse().map_err(|_| "its port is no port number".to_owned())?),
            "dbname" => parts.name = Some(value.into_owned()),
            "user" => parts.user = Some(value.into_owned()),
            "password" => parts.password = Some(Secret::new(value)),
            "sslmode" => {
                let mode = SSL_MODES.iter().find(|(word, _)| *word == value);
                parts.ssl = Some(mode.ok_or_else(|| "its sslmode is not known".to_owned())?.1);
            }
            other => return Err(format!("its parameter {other:?} is not known")),
        }
    }
    if parts.host.is_none() {
        return Err("it names no host".to_owned());
    }
    Ok(parts)
}

fn unbracketed(host: String) -> String {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).map(str::to_owned).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Settings, read::tests::read};

    fn postgres(variables: &[(&str, &str)]) -> PostgresSettings {
        match read(variables).unwrap_or_else(|errors| panic!("{errors}")).database {
            DatabaseSettings::Postgres(postgres) => postgres,
            DatabaseSettings::Sqlite { .. } => panic!("SQLite"),
        }
    }

    #[test]
    fn a_url_says_everything() {
        let url = "postgres://app:p%40ss%2Bw+d@db.example:5433/chat?sslmode=verify-full";
        let it = postgres(&[("DATABASE_URL", url)]);
        assert_eq!(
            (it.host.as_str(), it.port, it.name.as_str(), it.user.as_str()),
            ("db.example", 5433, "chat", "app")
        );
        assert_eq!(it.password.as_ref().map(Secret::expose), Some("p@ss+w+d"));
        assert_eq!(it.ssl, SslMode::VerifyFull);
        assert!(!format!("{it:?}").contains("p@ss"));
        assert_eq!(postgres(&[("DATABASE_URL", "postgres://[::1]/x")]).host, "::1");
    }

    #[test]
    fn parts_say_everything_too_and_win() {
        let it = postgres(&[("DB_TYPE", "postgres"), ("DB_HOST", "/cloudsql/p:r:i"), ("DB_PASSWORD", "s")]);
        assert!(it.is_socket());
        assert_eq!((it.name.as_str(), it.user.as_str(), it.ssl), ("parlance", "parlance", SslMode::Disable));
        let it = postgres(&[("DATABASE_URL", "postgres://u@h/d?host=/sockets"), ("DB_NAME", "other")]);
        assert_eq!((it.host.as_str(), it.name.as_str()), ("/sockets", "other"));
    }

    #[test]
    fn production_encrypts_across_a_network() {
        let remote = [("ENVIRONMENT", "production"), ("DATABASE_URL", "postgres://u@10.0.0.5/d")];
        let variables: Vec<_> = remote.into_iter().chain([("HOST", "127.0.0.1")]).collect();
        assert_eq!(postgres(&variables).ssl, SslMode::Require);
        assert_eq!(postgres(&remote[1..]).ssl, SslMode::Prefer);
    }

    #[test]
    fn wrong_values_are_named_without_secrets() {
        for (variables, name) in [
            (&[("DATABASE_URL", "mysql://u:secret@h/d")][..], "DATABASE_URL"),
            (&[("DATABASE_URL", "postgres://u:secret@h/d?sslmode=secret")], "DATABASE_URL"),
            (&[("DATABASE_URL", "postgres:///d")], "DATABASE_URL"),
            (&[("DATABASE_URL", "postgres://h/d"), ("DB_TYPE", "sqlite")], "DATABASE_URL"),
            (&[("DB_TYPE", "postgres")], "DB_HOST"),
            (&[("DB_HOST", "h")], "DB_HOST"),
            (&[("DB_ROLE", "r")], "DB_ROLE"),
            (&[("DATABASE_URL", "postgres://h/d"), ("DB_ROLE", "owner -c x=y")], "DB_ROLE"),
            (&[("DB_TYPE", "mysql")], "DB_TYPE"),
            (&[("DATABASE_URL", "postgres://h/d"), ("DB_SSL", "on")], "DB_SSL"),
            (&[("DATABASE_URL", "postgres://h/d"), ("DB_POOL_SIZE", "0")], "DB_POOL_SIZE"),
        ] {
            let errors = read(variables).map(|settings: Settings| settings.database).expect_err(name);
            assert_eq!(errors.0.iter().map(|error| error.name).collect::<Vec<_>>(), [name], "{errors}");
            assert!(!errors.to_string().contains("secret"), "{errors}");
        }
    }
}
