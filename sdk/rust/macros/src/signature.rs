//! Whether a function can be a provider, decided by its tokens. The compiler has parsed the item before, so that only
//! what it would describe in terms of generated code is checked here, and no syntax.

/// A token of the item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// A keyword or a name.
    Word(String),
    /// One character of punctuation.
    Mark(char),
    Literal,
    /// A group: its opening delimiter, and the tokens in it.
    Group(char, Vec<Token>),
}

/// Why an item is no provider.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The index of the token that the message is about.
    pub(crate) at: usize,
    pub(crate) message: &'static str,
}

const NO_FUNCTION: &str =
    "`#[damper_sdk::provider]` goes on a function: `fn fetch(request: &FetchRequest) -> Result<Record, Failure>`";

/// The index of the function's name, if it can be a provider.
pub(crate) fn check(item: &[Token]) -> Result<usize, Refusal> {
    let refuse = |at, message| Err(Refusal { at, message });
    let start = skip_visibility(item, skip_attributes(item));
    let mut at = start;
    loop {
        match item.get(at) {
            Some(Token::Word(word)) if word == "fn" => break,
            Some(Token::Word(word)) if word == "async" => {
                let message =
                    "a provider is a plain function: the host waits for it, so `async` gains nothing; remove it";
                return refuse(at, message);
            }
            Some(Token::Word(word)) if word == "unsafe" => return refuse(at, "a provider cannot be unsafe"),
            Some(Token::Word(word)) if word == "const" || word == "extern" => {}
            // The name of an ABI.
            Some(Token::Literal) => {}
            _ => return refuse(0, NO_FUNCTION),
        }
        at += 1;
    }
    let name = at + 1;
    if !matches!(item.get(name), Some(Token::Word(_))) {
        return refuse(0, NO_FUNCTION);
    }
    let mut inputs = name + 1;
    if item.get(inputs) == Some(&Token::Mark('<')) {
        if item.get(inputs + 1) != Some(&Token::Mark('>')) {
            return refuse(inputs, "a provider cannot be generic: the host calls exactly one function");
        }
        inputs += 2;
    }
    match item.get(inputs) {
        Some(Token::Group('(', arguments)) if is_one_argument(arguments) => {}
        _ => return refuse(inputs, "a provider takes one argument: `request: &FetchRequest`"),
    }
    let returns = [inputs + 1, inputs + 2].map(|at| item.get(at));
    if returns != [Some(&Token::Mark('-')), Some(&Token::Mark('>'))] {
        return refuse(start, "a provider returns `Result<Record, Failure>`");
    }
    Ok(name)
}

/// The index after the item's attributes: `#[...]`.
fn skip_attributes(item: &[Token]) -> usize {
    let mut at = 0;
    while let (Some(Token::Mark('#')), Some(Token::Group('[', _))) = (item.get(at), item.get(at + 1)) {
        at += 2;
    }
    at
}

/// The index after a visibility: `pub`, `pub(crate)`.
fn skip_visibility(item: &[Token], at: usize) -> usize {
    match (item.get(at), item.get(at + 1)) {
        (Some(Token::Word(word)), Some(Token::Group('(', _))) if word == "pub" => at + 2,
        (Some(Token::Word(word)), _) if word == "pub" => at + 1,
        _ => at,
    }
}

/// Whether there is one argument, and it is not `self`.
fn is_one_argument(arguments: &[Token]) -> bool {
    if is_receiver(arguments) {
        return false;
    }
    let (mut depth, mut before, mut commas) = (0_usize, None, 0_usize);
    for token in arguments {
        match token {
            Token::Mark('<') => depth += 1,
            // Not that of an arrow.
            Token::Mark('>') if before != Some(&Token::Mark('-')) => depth = depth.saturating_sub(1),
            Token::Mark(',') if depth == 0 => commas += 1,
            _ => {}
        }
        before = Some(token);
    }
    // One may stand after the last argument.
    let has_last = before == Some(&Token::Mark(','));
    !arguments.is_empty() && commas == usize::from(has_last)
}

/// Whether the arguments begin with `self`, as a method's do: `&'a mut self`.
fn is_receiver(arguments: &[Token]) -> bool {
    let mut before = None;
    for token in arguments {
        match token {
            Token::Word(word) if word == "self" => return true,
            Token::Mark('&' | '\'') => {}
            Token::Word(word) if word == "mut" => {}
            // The name of a lifetime.
            Token::Word(_) if before == Some(&Token::Mark('\'')) => {}
            _ => return false,
        }
        before = Some(token);
    }
    false
}

#[cfg(test)]
mod tests {
    use proc_macro2::{Delimiter, TokenStream, TokenTree};

    use super::*;

    fn tokens(stream: TokenStream) -> Vec<Token> {
        let token = |tree| match tree {
            TokenTree::Ident(ident) => Token::Word(ident.to_string()),
            TokenTree::Punct(punct) => Token::Mark(punct.as_char()),
            TokenTree::Literal(_) => Token::Literal,
            TokenTree::Group(group) => {
                let opening = match group.delimiter() {
                    Delimiter::Parenthesis => '(',
                    Delimiter::Brace => '{',
                    Delimiter::Bracket => '[',
                    Delimiter::None => ' ',
                };
                Token::Group(opening, tokens(group.stream()))
            }
        };
        stream.into_iter().map(token).collect()
    }

    /// The function's name, or the token that a refusal points at with its message.
    fn check_item(item: &str) -> Result<String, (String, &'static str)> {
        let item = tokens(item.parse().expect("tokens of Rust"));
        let text = |at: usize| match item.get(at) {
            Some(Token::Word(word)) => word.clone(),
            other => format!("{other:?}"),
        };
        check(&item).map(text).map_err(|refusal| (text(refusal.at), refusal.message))
    }

    fn refusal(item: &str) -> &'static str {
        check_item(item).expect_err("should be refused").1
    }

    #[test]
    fn finds_the_name_of_a_function_that_can_be_a_provider() {
        for item in [
            "fn fetch(request: &FetchRequest) -> Result<Record, Failure> { todo() }",
            "/// A doc.\n#[allow(x)] pub(crate) fn fetch(r: &R,) -> X { x }",
            "pub fn fetch<>(_: &damper_sdk::FetchRequest) -> X where X: Y { x }",
            "const extern \"C\" fn fetch(R { id, .. }: &R<A, fn(B) -> C>) -> X { x }",
        ] {
            assert_eq!(check_item(item).as_deref(), Ok("fetch"), "{item}");
        }
    }

    #[test]
    fn says_what_is_wrong_with_a_function_that_cannot_be_a_provider() {
        assert!(refusal("async fn f(r: &R) -> X { x }").contains("plain function"));
        assert!(refusal("pub unsafe fn f(r: &R) -> X { x }").contains("unsafe"));
        assert!(refusal("fn f<T>(r: &T) -> X { x }").contains("generic"));
        for inputs in
            ["", "a: A, b: B", "a: A<B, C>, d: D", "self", "&self", "mut self", "&'a mut self", "&self, r: &R"]
        {
            assert!(refusal(&format!("fn f({inputs}) -> X {{ x }}")).contains("one argument"), "{inputs}");
        }
        assert!(refusal("fn f(a: &A) { x }").contains("returns"));
        for item in ["struct S;", "pub mod m { fn f(r: &R) -> X { x } }", "static S: fn(R) -> X = x;"] {
            assert!(refusal(item).contains("goes on a function"), "{item}");
        }
    }

    #[test]
    fn points_at_the_place() {
        assert_eq!(check_item("pub async fn f(r: &R) -> X { x }").unwrap_err().0, "async");
        assert_eq!(check_item("pub fn f(a: &A) { x }").unwrap_err().0, "fn");
    }
}
