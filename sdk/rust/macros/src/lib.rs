//! The attribute macro of `damper-sdk`; use it from there, as `#[damper_sdk::provider]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::spanned::Spanned;
use syn::{Error, FnArg, ItemFn, ReturnType};

/// Makes a plain function the provider that this crate is. See `damper_sdk::provider`.
#[proc_macro_attribute]
pub fn provider(arguments: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expand(arguments.into(), item.into()).unwrap_or_else(Error::into_compile_error).into()
}

/// The function as it was, and beside it what a component needs: the export and the stamp.
fn expand(arguments: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    if !arguments.is_empty() {
        return Err(Error::new(
            arguments.span(),
            "`#[damper_sdk::provider]` takes no arguments; settings belong into provider.toml",
        ));
    }
    let span = item.span();
    let function: ItemFn = syn::parse2(item).map_err(|_| {
        Error::new(
            span,
            "`#[damper_sdk::provider]` goes on a function: `fn fetch(request: &FetchRequest) -> Result<Record, Failure>`",
        )
    })?;
    check(&function)?;
    let name = &function.sig.ident;
    Ok(quote! {
        #function

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
                    ::damper_sdk::__private::call(request, #name)
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
                ::damper_sdk::__private::outcome(#name, request)
            }
        };
    })
}

/// Reports errors that the compiler would describe only in terms of generated code.
fn check(function: &ItemFn) -> syn::Result<()> {
    let signature = &function.sig;
    if let Some(keyword) = &signature.asyncness {
        return Err(Error::new(
            keyword.span(),
            "a provider is a plain function: the host waits for it, so `async` gains nothing; remove it",
        ));
    }
    if let Some(keyword) = &signature.unsafety {
        return Err(Error::new(keyword.span(), "a provider cannot be unsafe"));
    }
    if !signature.generics.params.is_empty() {
        return Err(Error::new(
            signature.generics.span(),
            "a provider cannot be generic: the host calls exactly one function",
        ));
    }
    match signature.inputs.first() {
        Some(FnArg::Typed(_)) if signature.inputs.len() == 1 => {}
        _ => {
            return Err(Error::new(signature.inputs.span(), "a provider takes one argument: `request: &FetchRequest`"));
        }
    }
    if matches!(signature.output, ReturnType::Default) {
        return Err(Error::new(signature.span(), "a provider returns `Result<Record, Failure>`"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(item: TokenStream) -> String {
        expand(TokenStream::new(), item).expect_err("should be refused").to_string()
    }

    #[test]
    fn keeps_the_function_and_adds_the_export() {
        let expanded = expand(
            TokenStream::new(),
            quote! { fn fetch(request: &FetchRequest) -> Result<Record, Failure> { todo() } },
        )
        .expect("a plain function is accepted")
        .to_string();
        assert!(expanded.starts_with("fn fetch (request : & FetchRequest)"));
        assert!(expanded.contains("damper:sdk"));
        assert!(expanded.contains("export_provider !"));
    }

    #[test]
    fn says_what_is_wrong_with_a_function_that_cannot_be_a_provider() {
        assert!(refusal(quote! { async fn f(r: &R) -> X { x } }).contains("plain function"));
        assert!(refusal(quote! { fn f<T>(r: &T) -> X { x } }).contains("generic"));
        assert!(refusal(quote! { fn f() -> X { x } }).contains("one argument"));
        assert!(refusal(quote! { fn f(a: A, b: B) -> X { x } }).contains("one argument"));
        assert!(refusal(quote! { fn f(a: &A) { x } }).contains("returns"));
        assert!(refusal(quote! { struct S; }).contains("goes on a function"));
    }

    #[test]
    fn refuses_arguments() {
        let refused = expand(quote! { name = "x" }, quote! { fn f(r: &R) -> X { x } });
        assert!(refused.expect_err("refused").to_string().contains("provider.toml"));
    }
}
