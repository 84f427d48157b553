//! `search`: a first look that the data on a target is searchable, with times.

use super::Context;
use crate::args::SearchArgs;
use crate::registry::{self, Answer, By, Question};
use crate::render::{output, search};
use std::path::Path;
use switchover_core::{Error, Kind, Result};

/// No model makes longer vectors, and a file of gigabytes is no vector.
const VECTOR_FILE_BYTES_MAX: u64 = 4 << 20;

/// Asks once, and prints what was found.
pub(crate) async fn run(context: &Context, args: &SearchArgs) -> Result<u8> {
    let answer = engine(context, &question(args)?).await?;
    context.screen.end();
    match args.json {
        true => output::data(&search::json(&answer)?)?,
        false => output::data(&search::render(&answer))?,
    }
    Ok(0)
}

async fn engine(context: &Context, question: &Question) -> Result<Answer> {
    registry::look(context.resolved.target()?, &context.resolved.environment, question).await
}

fn question(args: &SearchArgs) -> Result<Question> {
    let vector = args.near_vector.as_deref().map(read_vector).transpose()?;
    let words = args.words.clone().filter(|words| !words.trim().is_empty());
    let by = match (words, vector, args.hybrid) {
        (Some(words), vector, true) => By::Both(words, vector),
        (Some(words), None, false) => By::Words(words),
        (None, Some(vector), false) => By::Vector(vector),
        (Some(_), Some(_), false) => {
            return Err(wrong("words and a vector are given")
                .hint("say --hybrid to search by both, or leave one out"));
        }
        (None, ..) if args.bm25 => {
            return Err(wrong("--bm25 needs words").hint("give the words before the options"));
        }
        (None, _, true) => {
            return Err(wrong("--hybrid needs words").hint("give the words before the options"));
        }
        (None, None, false) => {
            return Err(
                wrong("neither words nor a vector are given").hint("give the words, or --near-vector FILE")
            );
        }
    };
    Ok(Question { collection: args.collection.clone(), by, vector: args.vector.clone(), limit: args.limit })
}

fn wrong(detail: &str) -> Error {
    Error::new(Kind::Config, "search").detail(detail)
}

/// A vector: a JSON array of numbers, or binary32 numbers, little-endian, one after the other.
fn read_vector(path: &Path) -> Result<Vec<f32>> {
    let error = |detail: String| {
        Error::new(Kind::Config, "read the vector")
            .store(path.display().to_string())
            .detail(detail)
            .hint("it must be a JSON array of numbers, or numbers of 4 bytes each, little-endian")
    };
    let failed = |cause: std::io::Error| {
        Error::new(Kind::Io, "read the vector")
            .store(path.display().to_string())
            .hint("name a file that is there, with a JSON array of numbers or numbers of 4 bytes each")
            .because(cause)
    };
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > VECTOR_FILE_BYTES_MAX {
        return Err(error(format!(
            "it has {size} bytes, and no vector is longer than {VECTOR_FILE_BYTES_MAX}"
        )));
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    let vector: Vec<f32> = match serde_json::from_slice(&bytes) {
        Ok(vector) => vector,
        // The first byte of a number may be that of a bracket, but a text that is cut off or has words in it is no list of numbers.
        Err(cause) if is_text(&bytes) => {
            return Err(error("it is no JSON array of numbers".into()).because(cause));
        }
        Err(_) if bytes.len() % 4 == 0 => {
            bytes.as_chunks::<4>().0.iter().map(|number| f32::from_le_bytes(*number)).collect()
        }
        Err(_) => return Err(error(format!("its {} bytes are no numbers of 4 bytes each", bytes.len()))),
    };
    match vector.iter().all(|number| number.is_finite()) && !vector.is_empty() {
        true => Ok(vector),
        false => Err(error("it is empty, or a number in it is not finite".into())),
    }
}

/// Whether somebody wrote an array: it begins as one, and all of it can be read.
fn is_text(bytes: &[u8]) -> bool {
    let is_shown = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    bytes.trim_ascii_start().first() == Some(&b'[') && bytes.iter().all(is_shown)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn vectors_of_both_forms() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v");
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            read_vector(&path).map_err(|error| error.to_string())
        };
        assert_eq!(read(b" [1, -0.5]"), Ok(vec![1.0, -0.5]));
        assert_eq!(read(&[0, 0, 0x80, 0x3f, 0, 0, 0, 0xbf]), Ok(vec![1.0, -0.5]));
        // Numbers whose first byte is that of a bracket, or a blank before one.
        assert_eq!(read(&[b'[', 0, 0x80, 0x3f]), Ok(vec![f32::from_le_bytes([b'[', 0, 0x80, 0x3f])]));
        assert_eq!(read(b" [\x80\x3f"), Ok(vec![f32::from_le_bytes(*b" [\x80\x3f")]));
        for bad in [&b"[]"[..], b"", b"abcde", b"[1, \"x\"]", &f32::NAN.to_le_bytes()] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
