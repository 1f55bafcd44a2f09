//! The kinds of messages, which only the compiler knows: constants of the messages' types.

use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::{GenericParam, Lifetime, Type, spanned::Spanned};

use super::Expansion;
use crate::{callback::Callback, marker::Event};

impl Expansion<'_> {
    /// For each two methods, the assertion that they take messages of different kinds, and its
    /// conditions: those that depend on the block's parameters, which only an instance can
    /// check, or the others, which are checked at once.
    pub(super) fn rivals(&self, generic: bool) -> impl Iterator<Item = (TokenStream, TokenStream)> {
        let callbacks: Vec<&Callback> = self.endpoint.callbacks(Event::Message).collect();
        let mut assertions = Vec::new();
        for (index, second) in callbacks.iter().enumerate() {
            for first in callbacks.iter().take(index) {
                if (self.is_generic(first) || self.is_generic(second)) != generic {
                    continue;
                }
                let message = format!(
                    "`{0}` and `{1}` take the same kind of message; make `{0}` and `{1}` one method",
                    first.name, second.name
                );
                let (one, other) = (kind_of(first), kind_of(second));
                let conditions = [&first.conditions, &second.conditions];
                let conditions = conditions.into_iter().flatten();
                let own = self.conditions.iter();
                assertions.push((
                    quote!(#(#own)* #(#conditions)*),
                    quote_spanned! {second.name.span()=>
                        ::std::assert!(!::sockeye::__private::same_kind(#one, #other), #message)
                    },
                ));
            }
        }
        assertions.into_iter()
    }

    /// The limits that methods have, by the kinds of what they take, each under its conditions: a constant of the
    /// endpoint's trait.
    pub(super) fn max_messages(&self) -> Option<TokenStream> {
        let callbacks = self.endpoint.callbacks(Event::Message);
        let limit = |callback: &Callback| {
            let max = callback.max.as_ref()?;
            let conditions = &callback.conditions;
            let kind = kind_of(callback);
            Some(quote!(#(#conditions)* (#kind, #max)))
        };
        let limits: Vec<TokenStream> = callbacks.filter_map(limit).collect();
        if limits.is_empty() {
            return None;
        }
        Some(quote! {
            const MAX_MESSAGES: &'static [(::sockeye::MessageKind, u64)] = &[#(#limits),*];
        })
    }

    /// Of which kinds messages are taken in parts: a constant of the endpoint's trait. Methods that borrow a whole
    /// message, by their words, take none.
    pub(super) fn in_parts(&self) -> Option<TokenStream> {
        let callbacks = self.endpoint.callbacks(Event::Message);
        let handlers: Vec<TokenStream> = callbacks
            .filter(|callback| !callback.is_at_once())
            .filter_map(|callback| {
                let ty = without_lifetimes(callback.subject()?, &callback.lifetimes);
                let conditions = &callback.conditions;
                let kind = kind_of(callback);
                let in_parts =
                    quote_spanned!(ty.span()=> <#ty as ::sockeye::Argument<'_>>::IN_PARTS);
                Some(quote!(#(#conditions)* (#kind, #in_parts)))
            })
            .collect();
        if handlers.is_empty() {
            return None;
        }
        Some(quote! {
            const IN_PARTS: &'static [::sockeye::MessageKind] =
                ::sockeye::__private::in_parts(&[#(#handlers),*]);
        })
    }

    /// For each limit, the assertion that it is one of messages and not of pongs.
    pub(super) fn limited_kinds(&self) -> impl Iterator<Item = TokenStream> {
        let callbacks = self.endpoint.callbacks(Event::Message);
        callbacks
            .filter(|callback| callback.max.is_some() && !self.is_generic(callback))
            .map(|callback| {
                let own = self.conditions.iter();
                let conditions = &callback.conditions;
                let kind = kind_of(callback);
                let max = callback.max.span();
                let message = format!(
                    "`{}` takes pongs, which have 125 bytes at most; remove `max`",
                    callback.name
                );
                let assertion = quote_spanned! {max=>
                    ::std::assert!(
                        !::sockeye::__private::same_kind(#kind, ::sockeye::MessageKind::Pong),
                        #message
                    )
                };
                quote!(#(#own)* #(#conditions)* const _: () = #assertion;)
            })
    }

    /// Whether a callback's message depends on the parameters of the `impl` block.
    fn is_generic(&self, callback: &Callback) -> bool {
        let parameters = self.generics.params.iter();
        let mut names: Vec<&Ident> = parameters
            .filter_map(|parameter| match parameter {
                GenericParam::Const(parameter) => Some(&parameter.ident),
                GenericParam::Lifetime(_) => None,
                GenericParam::Type(parameter) => Some(&parameter.ident),
            })
            .collect();
        let itself = Ident::new("Self", Span::call_site());
        names.push(&itself);
        callback
            .subject()
            .is_some_and(|ty| mentions(ty.to_token_stream(), &names))
    }
}

/// The kind of message that a method takes: a constant.
pub(super) fn kind_of(callback: &Callback) -> Option<TokenStream> {
    let ty = without_lifetimes(callback.subject()?, &callback.lifetimes);
    Some(quote_spanned!(ty.span()=> <#ty as ::sockeye::Argument<'_>>::KIND))
}

fn mentions(tokens: TokenStream, names: &[&Ident]) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Group(group) => mentions(group.stream(), names),
        TokenTree::Ident(ident) => names.contains(&&ident),
        TokenTree::Literal(_) | TokenTree::Punct(_) => false,
    })
}

/// A type as it reads outside of the method that declares these lifetimes: the compiler finds
/// them by itself.
pub(super) fn without_lifetimes(ty: &Type, lifetimes: &[Lifetime]) -> TokenStream {
    replace_lifetimes(ty.to_token_stream(), lifetimes)
}

fn replace_lifetimes(tokens: TokenStream, lifetimes: &[Lifetime]) -> TokenStream {
    let mut after_quote = false;
    let replace = |token| {
        let is_name = std::mem::take(&mut after_quote);
        match token {
            TokenTree::Group(group) => {
                let inner = replace_lifetimes(group.stream(), lifetimes);
                let mut replaced = Group::new(group.delimiter(), inner);
                replaced.set_span(group.span());
                TokenTree::Group(replaced)
            }
            TokenTree::Ident(name)
                if is_name && lifetimes.iter().any(|lifetime| lifetime.ident == name) =>
            {
                TokenTree::Ident(Ident::new("_", name.span()))
            }
            TokenTree::Punct(punct) => {
                after_quote = punct.as_char() == '\'';
                TokenTree::Punct(punct)
            }
            other => other,
        }
    };
    tokens.into_iter().map(replace).collect()
}
