//! The attribute macro of `damper-sdk`; use it from there, as `#[damper_sdk::provider]`.
//!
//! It reads tokens by itself and depends on no parser: parsers would be most of what the first build of a provider
//! compiles.

mod signature;

use proc_macro::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};
use signature::Token;

/// What stands beside the function: the export and the stamp. [`PROVIDER`] is the function's name.
const EXPORT: &str = r#"
// Natively there is nothing to export: the function is called by the crate's own tests.
#[cfg(target_arch = "wasm32")]
::damper_sdk::__private::component! {
#[allow(unsafe_code, unused_unsafe, reason = "the component's exports, written by damper-sdk")]
const _: () = {
    struct Component;

    impl ::damper_sdk::__private::Guest for Component {
        fn fetch_record(
            request: ::damper_sdk::__private::WitFetchRequest,
        ) -> ::core::result::Result<
            ::damper_sdk::__private::WitFetched,
            ::damper_sdk::__private::WitFailure,
        > {
            ::damper_sdk::__private::call(request, __damper_provider)
        }
    }

    ::damper_sdk::__private::export_provider!(
        Component with_types_in ::damper_sdk::__private::bindings
    );

    // In this crate and not in the SDK: the linker keeps a custom section only from objects that it links.
    #[used]
    #[unsafe(link_section = "damper:sdk")]
    static STAMP: [u8; ::damper_sdk::__private::STAMP.len()] = ::damper_sdk::__private::STAMP;
};
}

// An author who builds natively and has no test would be told that the function is never used.
#[cfg(not(target_arch = "wasm32"))]
const _: () = {
    #[allow(dead_code, reason = "keeps the provider function in use outside of wasm")]
    fn check(
        request: &::damper_sdk::FetchRequest,
    ) -> ::core::result::Result<::damper_sdk::Record, ::damper_sdk::Failure> {
        ::damper_sdk::__private::outcome(__damper_provider, request)
    }
};
"#;
/// The name in [`EXPORT`] in whose place the function's own is put.
const PROVIDER: &str = "__damper_provider";

/// Makes a plain function the provider that this crate is. See `damper_sdk::provider`.
#[proc_macro_attribute]
pub fn provider(arguments: TokenStream, item: TokenStream) -> TokenStream {
    if let Some(argument) = arguments.into_iter().next() {
        let message = "`#[damper_sdk::provider]` takes no arguments; settings belong into provider.toml";
        return error(argument.span(), message);
    }
    let mut tokens = Vec::new();
    flatten(item.clone(), &mut tokens);
    let read: Vec<Token> = tokens.iter().map(token).collect();
    let span = |at: usize| tokens.get(at).map_or_else(Span::call_site, TokenTree::span);
    let name = match signature::check(&read) {
        Ok(at) => tokens.get(at),
        Err(refusal) => return error(span(refusal.at), refusal.message),
    };
    let (Some(TokenTree::Ident(name)), Ok(export)) = (name, EXPORT.parse::<TokenStream>()) else {
        return error(Span::call_site(), "a defect of damper-sdk: its macro cannot be expanded");
    };
    item.into_iter().chain(with_name(export, name)).collect()
}

/// The tokens of an item. A group without delimiters, which a macro by example leaves around what it is given, is
/// replaced by its content.
fn flatten(item: TokenStream, tokens: &mut Vec<TokenTree>) {
    for tree in item {
        match tree {
            TokenTree::Group(group) if group.delimiter() == Delimiter::None => flatten(group.stream(), tokens),
            tree => tokens.push(tree),
        }
    }
}

fn token(tree: &TokenTree) -> Token {
    match tree {
        TokenTree::Ident(ident) => Token::Word(ident.to_string()),
        TokenTree::Punct(punct) => Token::Mark(punct.as_char()),
        TokenTree::Literal(_) => Token::Literal,
        TokenTree::Group(group) => {
            let mut inside = Vec::new();
            flatten(group.stream(), &mut inside);
            Token::Group(opening(group.delimiter()), inside.iter().map(token).collect())
        }
    }
}

fn opening(delimiter: Delimiter) -> char {
    match delimiter {
        Delimiter::Parenthesis => '(',
        Delimiter::Brace => '{',
        Delimiter::Bracket => '[',
        Delimiter::None => ' ',
    }
}

/// [`EXPORT`] with the function's name, in the place where the author wrote it: the compiler's errors point there.
fn with_name(export: TokenStream, name: &Ident) -> TokenStream {
    let replace = |tree| match tree {
        TokenTree::Ident(ident) if ident.to_string() == PROVIDER => TokenTree::Ident(name.clone()),
        TokenTree::Group(group) => {
            let mut inner = Group::new(group.delimiter(), with_name(group.stream(), name));
            inner.set_span(group.span());
            TokenTree::Group(inner)
        }
        tree => tree,
    };
    export.into_iter().map(replace).collect()
}

/// `::core::compile_error! { "message" }`, at this place.
fn error(span: Span, message: &str) -> TokenStream {
    let mark = |character, spacing| TokenTree::Punct(Punct::new(character, spacing));
    let word = |text| TokenTree::Ident(Ident::new(text, span));
    let text = TokenTree::Literal(Literal::string(message));
    let colons = || [mark(':', Spacing::Joint), mark(':', Spacing::Alone)];
    let mut trees: Vec<TokenTree> = colons().into();
    trees.push(word("core"));
    trees.extend(colons());
    trees.extend([word("compile_error"), mark('!', Spacing::Alone)]);
    trees.push(TokenTree::Group(Group::new(Delimiter::Brace, text.into())));
    let at_span = |mut tree: TokenTree| {
        tree.set_span(span);
        tree
    };
    trees.into_iter().map(at_span).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_export_is_rust_and_names_the_function_for_wasm_and_natively() {
        let export: proc_macro2::TokenStream = EXPORT.parse().expect("tokens of Rust");
        assert_eq!(export.to_string().matches(PROVIDER).count(), 2);
    }
}
