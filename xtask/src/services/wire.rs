//! As much of Postgres' protocol as it takes to ask one question: start-up without a password, a simple query, text values.

use std::{
    io::{Read, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

const PROTOCOL: i32 = 196_608;
/// An answer of ours is a few bytes long.
const LONGEST: usize = 1 << 20;

/// The first value of the first row, an empty text when there is none.
pub(crate) fn query(port: u16, patience: Duration, sql: &str) -> Result<String, String> {
    let broken = |error: std::io::Error| error.to_string();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, patience).map_err(broken)?;
    stream.set_read_timeout(Some(patience)).map_err(broken)?;
    stream.set_write_timeout(Some(patience)).map_err(broken)?;
    let mut startup = PROTOCOL.to_be_bytes().to_vec();
    startup.extend_from_slice(b"user\0postgres\0database\0postgres\0\0");
    stream.write_all(&framed(None, &startup)).map_err(broken)?;
    answer(&mut stream)?;
    let mut text = sql.as_bytes().to_vec();
    text.push(0);
    stream.write_all(&framed(Some(b'Q'), &text)).map_err(broken)?;
    let value = answer(&mut stream)?;
    let _ = stream.write_all(&framed(Some(b'X'), &[]));
    Ok(value)
}

fn framed(kind: Option<u8>, body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(body.len() + 4).unwrap_or(i32::MAX);
    kind.into_iter().chain(length.to_be_bytes()).chain(body.iter().copied()).collect()
}

/// Reads until the server is ready for a query.
fn answer(stream: &mut impl Read) -> Result<String, String> {
    let mut value = None;
    let mut error = None;
    loop {
        let (kind, body) = message(stream)?;
        match kind {
            b'Z' => return error.map_or_else(|| Ok(value.unwrap_or_default()), Err),
            b'D' => value = value.or_else(|| first_column(&body)),
            b'E' => {
                let said = field(&body, b'M').unwrap_or_else(|| "an error without a message".to_owned());
                if field(&body, b'V').is_some_and(|severity| severity != "ERROR") {
                    // The connection ends here.
                    return Err(said);
                }
                error = Some(said);
            }
            b'R' if body.get(..4) != Some(&[0; 4]) => return Err("the server asks for a password".to_owned()),
            _ => {}
        }
    }
}

fn message(stream: &mut impl Read) -> Result<(u8, Vec<u8>), String> {
    let mut head = [0; 5];
    stream.read_exact(&mut head).map_err(|error| error.to_string())?;
    let [kind, length @ ..] = head;
    let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or_default();
    if !(4..LONGEST).contains(&length) {
        return Err("this is not Postgres".to_owned());
    }
    let mut body = vec![0; length - 4];
    stream.read_exact(&mut body).map_err(|error| error.to_string())?;
    Ok((kind, body))
}

fn first_column(row: &[u8]) -> Option<String> {
    let length = i32::from_be_bytes(row.get(2..6)?.try_into().ok()?);
    let value = row.get(6..6 + usize::try_from(length).ok()?)?;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// The fields of an error: a letter and a text each.
fn field(body: &[u8], letter: u8) -> Option<String> {
    let mut fields = body.split(|byte| *byte == 0).filter_map(|field| field.split_first());
    let (_, text) = fields.find(|(first, _)| **first == letter)?;
    Some(String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(messages: &[(u8, &[u8])]) -> Vec<u8> {
        messages.iter().flat_map(|(kind, body)| framed(Some(*kind), body)).collect()
    }

    #[test]
    fn the_first_value_is_read() {
        let row = |text: &[u8]| [&[0, 1, 0, 0, 0, 2][..], text].concat();
        let (first, second) = (row(b"15"), row(b"16"));
        let bytes = messages(&[(b'T', b"x"), (b'D', &first), (b'D', &second), (b'C', b"SELECT 2\0"), (b'Z', b"I")]);
        assert_eq!(answer(&mut &bytes[..]).as_deref(), Ok("15"));
    }

    #[test]
    fn errors_are_said() {
        let refused = messages(&[(b'E', b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0")]);
        assert_eq!(answer(&mut &refused[..]), Err("the database system is starting up".to_owned()));
        let wrong = messages(&[(b'E', b"SERROR\0VERROR\0Msyntax error\0\0"), (b'Z', b"I")]);
        assert_eq!(answer(&mut &wrong[..]), Err("syntax error".to_owned()));
        let password = messages(&[(b'R', &[0, 0, 0, 10])]);
        assert!(answer(&mut &password[..]).is_err());
    }

    #[test]
    fn another_server_is_no_database() {
        assert!(answer(&mut &b"HTTP/1.1 400 Bad Request\r\n"[..]).is_err());
        assert!(answer(&mut &b""[..]).is_err());
    }
}
