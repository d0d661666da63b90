//! `DB_IAM_AUTH`: Cloud SQL lets a Google account in, by an access token in the place of a password. A token that is sent to
//! the wrong server, or in the clear, is somebody else's login, so what goes with it is checked at the start.

use super::{database::SslMode, read::Reader};

const USER: &str = "a service account's e-mail without .gserviceaccount.com, such as ingest-api@PROJECT.iam, or a person's \
     e-mail address, in lower case";
/// What Cloud SQL leaves out of the names of service accounts.
const LEFT_OUT: &str = ".gserviceaccount.com";

pub(super) fn is_on(read: &mut Reader<'_>) -> bool {
    read.choice("DB_IAM_AUTH", &[("on", true), ("off", false)]).unwrap_or(false)
}

/// Refuses a password, and a user that Cloud SQL can't know.
pub(super) fn check_login(read: &mut Reader<'_>, user_of_url: Option<&str>, password_in_url: bool) {
    for (name, given) in [("DB_PASSWORD", read.text("DB_PASSWORD").is_some()), ("DATABASE_URL", password_in_url)] {
        if given {
            let accepted = "no password, or DB_IAM_AUTH=off";
            read.refuse(name, "has a password although DB_IAM_AUTH is on: tokens take its place".to_owned(), accepted);
        }
    }
    let (name, user) = match (read.text("DB_USER"), user_of_url) {
        (Some(user), _) => ("DB_USER", user),
        (None, Some(user)) => ("DATABASE_URL", user.to_owned()),
        (None, None) => return read.refuse("DB_USER", "is missing although DB_IAM_AUTH is on".to_owned(), USER),
    };
    if let Some(problem) = wrong(&user) {
        read.refuse(name, problem, USER);
    }
}

fn wrong(user: &str) -> Option<String> {
    if let Some(right) = user.strip_suffix(LEFT_OUT) {
        return Some(format!("user {user:?} was given; with DB_IAM_AUTH=on it is {right:?}"));
    }
    let is_account = user.split_once('@').is_some_and(|(name, domain)| !name.is_empty() && !domain.is_empty());
    let is_lower = !user.chars().any(char::is_uppercase);
    (!is_account || !is_lower)
        .then(|| format!("user {user:?} was given, which is no Google account as Cloud SQL names it"))
}

/// Refuses connections that would show the token to the network.
pub(super) fn check_ssl(read: &mut Reader<'_>, ssl: SslMode) {
    if !matches!(ssl, SslMode::Disable | SslMode::Prefer) {
        return;
    }
    let name = if read.text("DB_SSL").is_some() { "DB_SSL" } else { "DATABASE_URL" };
    read.refuse(
        name,
        "lets connections be unencrypted although DB_IAM_AUTH sends access tokens over them".to_owned(),
        "require, verify-ca or verify-full (or DB_HOST as a socket's folder; or, behind a Cloud SQL Auth Proxy that logs in \
         by itself, DB_IAM_AUTH=off)",
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{DatabaseSettings, PostgresSettings, SettingErrors, read::tests::read};

    const ON: (&str, &str) = ("DB_IAM_AUTH", "on");
    const URL: &str = "postgres://ingest-api%40p.iam@10.0.0.3/parlance";

    fn postgres(variables: &[(&str, &str)]) -> Result<PostgresSettings, SettingErrors> {
        match read(variables)?.database {
            DatabaseSettings::Postgres(postgres) => Ok(postgres),
            DatabaseSettings::Sqlite { .. } => panic!("SQLite"),
        }
    }

    #[test]
    fn accounts_log_in_encrypted() {
        let it = postgres(&[ON, ("DATABASE_URL", URL)]).unwrap();
        assert_eq!((it.user.as_str(), it.iam_auth, it.ssl), ("ingest-api@p.iam", true, SslMode::Require));
        let parts = [ON, ("DB_TYPE", "postgres"), ("DB_HOST", "/cloudsql/p:r:i"), ("DB_USER", "ann@example.com")];
        let it = postgres(&parts).unwrap();
        assert_eq!((it.user.as_str(), it.iam_auth, it.is_socket()), ("ann@example.com", true, true));
        let it = postgres(&[ON, ("DATABASE_URL", URL), ("DB_USER", "1-compute@developer"), ("DB_SSL", "verify-ca")]);
        assert_eq!(it.unwrap().ssl, SslMode::VerifyCa);
        assert!(!postgres(&[("DB_IAM_AUTH", "off"), ("DATABASE_URL", URL)]).unwrap().iam_auth);
    }

    #[test]
    fn what_does_not_go_with_it_is_refused() {
        let with_password = "postgres://ingest-api%40p.iam:hush@10.0.0.3/parlance";
        let without_user = "postgres://10.0.0.3/parlance";
        let unencrypted = "postgres://ingest-api%40p.iam@10.0.0.3/parlance?sslmode=prefer";
        let whole_name = "ingest-api@p.iam.gserviceaccount.com";
        for (variables, name, sentence) in [
            (&[ON, ("DATABASE_URL", URL), ("DB_PASSWORD", "hush")][..], "DB_PASSWORD", "tokens take its place"),
            (&[ON, ("DATABASE_URL", with_password)], "DATABASE_URL", "tokens take its place"),
            (&[ON, ("DATABASE_URL", without_user)], "DB_USER", "is missing although DB_IAM_AUTH is on"),
            (&[ON, ("DATABASE_URL", URL), ("DB_USER", whole_name)], "DB_USER", "it is \"ingest-api@p.iam\""),
            (&[ON, ("DATABASE_URL", URL), ("DB_USER", "parlance")], "DB_USER", "no Google account"),
            (&[ON, ("DATABASE_URL", URL), ("DB_USER", "Ann@example.com")], "DB_USER", "in lower case"),
            (&[ON, ("DATABASE_URL", URL), ("DB_SSL", "prefer")], "DB_SSL", "verify-full (or DB_HOST"),
            (&[ON, ("DATABASE_URL", unencrypted)], "DATABASE_URL", "lets connections be unencrypted"),
            (&[ON], "DB_IAM_AUTH", "the embedded database has no such thing"),
            (&[("DB_IAM_AUTH", "yes"), ("DATABASE_URL", URL)], "DB_IAM_AUTH", "accepted: on or off"),
        ] {
            let errors = read(variables).map(|settings| settings.database).expect_err(sentence);
            assert_eq!(errors.0.iter().map(|error| error.name).collect::<Vec<_>>(), [name], "{errors}");
            let told = errors.to_string();
            assert!(told.contains(sentence) && !told.contains("hush"), "{told}");
        }
    }
}
