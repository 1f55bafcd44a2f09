//! Generated code about the kinds of messages. Only the compiler knows these: they are constants of the messages'
//! types.

use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::{GenericParam, Lifetime, Type, spanned::Spanned};

use super::Expansion;
use crate::{callback::Callback, marker::Event};

impl Expansion<'_> {
    /// Returns for each pair of methods the assertion that they take different kinds of messages, with its `#[cfg]`s.
    /// With `generic` these are the pairs that depend on the block's parameters, which only an instance can check.
    /// Without it these are the other pairs, which are checked at once.
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
                        ::std::assert!(!#one.meet(#other), #message)
                    },
                ));
            }
        }
        assertions.into_iter()
    }

    /// Returns the constant `MAX_MESSAGES` of the endpoint's trait: the limit of each method with `max`, by its kind of
    /// message, under the method's `#[cfg]`s.
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
            const MAX_MESSAGES: &'static [(::sockeye::endpoint::IncomingKind, u64)] =
                const { &::sockeye::__private::Limits::new(&[#(#limits),*]) }.as_slice();
        })
    }

    /// Returns the constant `IN_PARTS` of the endpoint's trait: the kinds of messages that are taken in parts. A method
    /// whose message type is written as `&str` or `&[u8]` takes whole messages.
    pub(super) fn in_parts(&self) -> Option<TokenStream> {
        let callbacks = self.endpoint.callbacks(Event::Message);
        let handlers: Vec<TokenStream> = callbacks
            .filter(|callback| !callback.is_at_once())
            .filter_map(|callback| {
                let ty = without_lifetimes(callback.subject()?, &callback.lifetimes);
                let conditions = &callback.conditions;
                let kind = kind_of(callback);
                let in_parts =
                    quote_spanned!(ty.span()=> <#ty as ::sockeye::endpoint::Argument<'_>>::IN_PARTS);
                Some(quote!(#(#conditions)* (#kind, #in_parts)))
            })
            .collect();
        if handlers.is_empty() {
            return None;
        }
        Some(quote! {
            const IN_PARTS: &'static [::sockeye::endpoint::IncomingKind] =
                ::sockeye::__private::in_parts(&[#(#handlers),*]);
        })
    }

    /// Returns the constant `PINGS` of the endpoint's trait: whether a method takes the peer's Pings.
    pub(super) fn pings(&self) -> Option<TokenStream> {
        let callbacks = self.endpoint.callbacks(Event::Message);
        let handlers: Vec<TokenStream> = callbacks
            .filter(|callback| !callback.is_at_once())
            .map(|callback| {
                let conditions = &callback.conditions;
                let kind = kind_of(callback);
                quote!(#(#conditions)* #kind)
            })
            .collect();
        if handlers.is_empty() {
            return None;
        }
        Some(quote! {
            const PINGS: bool = ::sockeye::__private::takes_pings(&[#(#handlers),*]);
        })
    }

    /// Returns for each limit the assertion that it is not for pings or pongs.
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
                    "`{}` takes control frames, which have 125 bytes at most; remove `max`",
                    callback.name
                );
                let assertion = quote_spanned! {max=>
                    ::std::assert!(!#kind.are_control(), #message)
                };
                quote!(#(#own)* #(#conditions)* const _: () = #assertion;)
            })
    }

    /// Returns whether a callback's message type depends on the parameters of the `impl` block.
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

/// Returns the constant with the kinds of messages that a method takes.
pub(super) fn kind_of(callback: &Callback) -> Option<TokenStream> {
    let ty = without_lifetimes(callback.subject()?, &callback.lifetimes);
    Some(quote_spanned! {ty.span()=>
        ::sockeye::__private::Kinds::new(
            <#ty as ::sockeye::endpoint::Argument<'_>>::KIND,
            <#ty as ::sockeye::endpoint::Argument<'_>>::EITHER,
        )
    })
}

fn mentions(tokens: TokenStream, names: &[&Ident]) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Group(group) => mentions(group.stream(), names),
        TokenTree::Ident(ident) => names.contains(&&ident),
        TokenTree::Literal(_) | TokenTree::Punct(_) => false,
    })
}

/// Returns a type for use outside of the method that declares these lifetimes: each becomes `'_`, and the compiler
/// infers it.
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
