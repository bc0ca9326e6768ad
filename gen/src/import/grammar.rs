//! The form of keepalived.conf: statements of words, each on a line of its own, some with a body in braces.

use super::Notes;

/// Words, and what is in the braces behind them.
#[derive(Debug, Clone, Default)]
pub struct Statement {
    pub line: usize,
    pub words: Vec<String>,
    pub body: Vec<Statement>,
}

impl Statement {
    /// A word, or "" if there are fewer.
    pub fn word(&self, at: usize) -> &str {
        self.words.get(at).map_or("", String::as_str)
    }

    /// The same words, wherever they are.
    pub fn same(&self, other: &Self) -> bool {
        self.words == other.words
            && self.body.len() == other.body.len()
            && self.body.iter().zip(&other.body).all(|(one, two)| one.same(two))
    }
}

enum Token {
    Word(String),
    Open,
    Close,
    End,
}

/// Reads a whole file. Conditional lines and definitions, which depend on the host, are noted.
pub fn parse(text: &str, notes: &mut Notes<'_>) -> Result<Vec<Statement>, (usize, &'static str)> {
    let mut tokens = Vec::new();
    for (line, text) in text.lines().enumerate().map(|(at, text)| (at + 1, text)) {
        if text.trim_start().starts_with(['@', '$', '~']) {
            notes.add(
                line,
                "conditional lines and definitions are not carried over: write the line out for this host",
            );
            continue;
        }
        words(line, text, &mut tokens, notes)?;
        tokens.push((line, Token::End));
    }
    let mut tokens = tokens.into_iter().peekable();
    let statements = block(&mut tokens, None)?;
    Ok(statements)
}

fn words(
    line: usize,
    text: &str,
    tokens: &mut Vec<(usize, Token)>,
    notes: &mut Notes<'_>,
) -> Result<(), (usize, &'static str)> {
    let mut word = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '#' | '!' => {
                if !word.is_empty() {
                    notes.add(line, format!("the \"{c}\" inside a word begins a comment, for keepalived too: quote the word if it belongs to it"));
                }
                break;
            }
            '"' | '\'' => loop {
                match characters.next() {
                    Some(next) if next == c => break,
                    Some(next) => word.push(next),
                    None => return Err((line, "a quote is not closed on this line")),
                }
            },
            '{' | '}' => {
                finish(&mut word, line, tokens);
                tokens.push((line, if c == '{' { Token::Open } else { Token::Close }));
            }
            c if c.is_whitespace() => finish(&mut word, line, tokens),
            c => word.push(c),
        }
    }
    finish(&mut word, line, tokens);
    Ok(())
}

fn finish(word: &mut String, line: usize, tokens: &mut Vec<(usize, Token)>) {
    if !word.is_empty() {
        tokens.push((line, Token::Word(std::mem::take(word))));
    }
}

type Tokens = std::iter::Peekable<std::vec::IntoIter<(usize, Token)>>;

/// How deep braces may be: keepalived's own blocks are four deep.
const DEEPEST: usize = 16;

fn block(
    tokens: &mut Tokens,
    opened: Option<(usize, usize)>,
) -> Result<Vec<Statement>, (usize, &'static str)> {
    let depth = opened.map_or(0, |(_, depth)| depth);
    let mut found: Vec<Statement> = Vec::new();
    let mut current = Statement::default();
    loop {
        let Some((line, token)) = tokens.next() else {
            return match opened {
                Some((line, _)) => Err((line, "the brace that is opened here is never closed")),
                None => {
                    found.extend(Some(current).filter(|statement| !statement.words.is_empty()));
                    Ok(found)
                }
            };
        };
        match token {
            Token::Word(word) => {
                if current.words.is_empty() {
                    current.line = line;
                }
                current.words.push(word);
            }
            Token::End => {
                while matches!(tokens.peek(), Some((_, Token::End))) {
                    tokens.next();
                }
                // The brace may be on a line of its own.
                if !current.words.is_empty() && !matches!(tokens.peek(), Some((_, Token::Open))) {
                    found.push(std::mem::take(&mut current));
                }
            }
            Token::Open if current.words.is_empty() => {
                return Err((line, "a brace is opened without a name before it"));
            }
            Token::Open if depth == DEEPEST => return Err((line, "braces are nested too deeply")),
            Token::Open => {
                current.body = block(tokens, Some((line, depth + 1)))?;
                found.push(std::mem::take(&mut current));
            }
            Token::Close => {
                if opened.is_none() {
                    return Err((line, "a brace is closed that was not opened"));
                }
                found.extend(Some(current).filter(|statement| !statement.words.is_empty()));
                return Ok(found);
            }
        }
    }
}
