//! Ids, as they stand in paths, bodies and events.

use parlance_shared::{CallId, Clock, MessageId, SessionId, TaskId, UserId, id_mint::IdMint};

/// An id that is taken is printed as it came, is of one kind, and is nobody's unless it was made for them.
pub fn id(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut kinds = 0;
    if let Ok(id) = text.parse::<TaskId>() {
        assert_eq!(id.to_string(), text);
        kinds += 1;
        let mint = IdMint::new(&[7; 32], Clock::system());
        assert!(!mint.made_for(&UserId::new("nobody"), id), "an id was guessed: {text}");
        let _ = IdMint::made_at(id);
    }
    for taken in [
        text.parse::<SessionId>().map(|id| id.to_string()).ok(),
        text.parse::<MessageId>().map(|id| id.to_string()).ok(),
        text.parse::<CallId>().map(|id| id.to_string()).ok(),
    ]
    .into_iter()
    .flatten()
    {
        assert_eq!(taken, text);
        kinds += 1;
    }
    assert!(kinds <= 1, "{text} is of several kinds");
}
