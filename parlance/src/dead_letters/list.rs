//! `parlance dead-letters list`.

use super::{letter::Letter, selection::Selection};
use crate::operator::{
    Operator,
    exit::Stop,
    output::{plain, print, print_json, table, time},
};

pub(super) async fn list(operator: &Operator, selection: &Selection, json: bool) -> Result<bool, Stop> {
    let found = selection.at(&operator.clock)?.find(operator, |letter| Letter::from(&letter)).await?;
    let letters: Vec<Letter> = found.into_iter().flat_map(|found| found.letters).collect();
    if json {
        print_json(&letters)?;
    } else {
        print(&text(&letters))?;
    }
    Ok(true)
}

fn text(letters: &[Letter]) -> String {
    let count = match letters.len() {
        0 => return "no dead letters\n".to_owned(),
        1 => "1 dead letter\n".to_owned(),
        many => format!("{many} dead letters\n"),
    };
    let rows: Vec<Vec<String>> = letters.iter().map(row).collect();
    table(&["ID", "SUBSCRIPTION", "REASON", "ATTEMPTS", "DEAD AT", "SESSION", "ABOUT"], &rows) + &count
}

fn row(letter: &Letter) -> Vec<String> {
    let about = letter.task_id.map_or_else(|| letter.event_id.clone(), |task| task.to_string());
    vec![
        plain(&letter.id),
        letter.subscription.clone(),
        plain(&letter.reason.code),
        letter.attempts.to_string(),
        time(letter.dead_at),
        letter.session_id.map_or_else(|| "-".to_owned(), |session| session.to_string()),
        plain(&about),
    ]
}
