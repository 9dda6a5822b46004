//! Parses a crate's modules from source: what each declares, imports and refers to. Test code is left out.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, UseTree};

/// The longest path in a crate, even with re-exports followed.
const MAX_PATH: usize = 16;

/// The modules of one crate, the root first.
pub(crate) struct Crate {
    pub(crate) name: String,
    pub(crate) modules: Vec<Module>,
    by_path: BTreeMap<Vec<String>, usize>,
}

/// One module, in a file of its own or inline.
#[derive(Default)]
pub(crate) struct Module {
    /// The path from the root's child down; empty for the root.
    pub(crate) path: Vec<String>,
    pub(crate) file: PathBuf,
    /// Structs, enums, unions, traits and type aliases at module level.
    pub(crate) types: Vec<Declared>,
    /// Functions and methods, wherever they are declared.
    pub(crate) functions: Vec<Declared>,
    /// Constants and statics, those of types and traits too.
    pub(crate) constants: Vec<Declared>,
    /// Its own name and where it is declared; `crate` for the root.
    pub(crate) declared: Declared,
    pub(crate) references: Vec<Reference>,
    items: BTreeSet<String>,
    /// Paths by the name under which a `use` item imports them; several if `cfg` decides.
    imports: BTreeMap<String, Vec<Vec<String>>>,
    glob_imports: Vec<Vec<String>>,
}

/// A name and the line where it is declared.
#[derive(Default)]
pub(crate) struct Declared {
    pub(crate) name: String,
    pub(crate) line: usize,
}

impl Declared {
    fn of(ident: &syn::Ident) -> Self {
        Self { name: ident.to_string(), line: ident.span().start().line }
    }
}

/// A path within the crate, as written.
pub(crate) struct Reference {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
}

impl Crate {
    /// Parses `<folder>/src/lib.rs` and every module below it.
    pub(crate) fn read(repository: &Path, folder: &str) -> Self {
        let source = Path::new(folder).join("src");
        Self::parse(folder, &source, &|file| std::fs::read_to_string(repository.join(file)).ok())
    }

    /// Parses the modules below `<source>/lib.rs`; `read` gives a file's text if it exists.
    pub(crate) fn parse(name: &str, source: &Path, read: &dyn Fn(&Path) -> Option<String>) -> Self {
        let mut parser = Parser { read, modules: Vec::new() };
        let root = source.join("lib.rs");
        let text = read(&root).unwrap_or_else(|| panic!("there is no {}", root.display()));
        let declared = Declared { name: "crate".to_owned(), line: 1 };
        parser.file(Vec::new(), &root, source, &text, declared);
        let by_path =
            parser.modules.iter().enumerate().map(|(index, module)| (module.path.clone(), index)).collect();
        Self { name: name.to_owned(), modules: parser.modules, by_path }
    }

    /// The modules that a path in module `from` passes through and ends at, with re-exports followed. Empty for paths
    /// that leave the crate.
    pub(crate) fn targets(&self, from: usize, path: &[String]) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        self.follow(from, path, &mut found, &mut HashSet::new());
        found
    }

    fn follow(
        &self,
        from: usize,
        path: &[String],
        found: &mut BTreeSet<usize>,
        seen: &mut HashSet<(usize, Vec<String>)>,
    ) {
        // The limit ends `use x::x`, where the crate `x` and the imported `x` have the same name.
        if path.len() > MAX_PATH || !seen.insert((from, path.to_vec())) {
            return;
        }
        let Some((mut at, mut rest)) = self.start(from, path) else { return };
        while let Some((name, behind)) = rest.split_first() {
            let module = &self.modules[at];
            let is_item = module.items.contains(name);
            if let Some(child) = self.child(at, name)
                && !(behind.is_empty() && is_item)
            {
                (at, rest) = (child, behind);
                continue;
            }
            if !is_item {
                for import in module.imports.get(name).into_iter().flatten() {
                    self.follow(at, &[import, behind].concat(), found, seen);
                }
                for glob in &module.glob_imports {
                    if self.glob_has(at, glob, name) {
                        self.follow(at, &[glob, rest].concat(), found, seen);
                    }
                }
            }
            break;
        }
        found.insert(at);
    }

    /// The module at which a path starts, and the rest of the path.
    fn start<'path>(&self, from: usize, path: &'path [String]) -> Option<(usize, &'path [String])> {
        let (first, behind) = path.split_first()?;
        match first.as_str() {
            "crate" => Some((0, behind)),
            "self" => Some((from, behind)),
            "super" => {
                let (mut at, mut rest) = (self.parent(from)?, behind);
                while let Some((name, behind)) = rest.split_first()
                    && name == "super"
                {
                    (at, rest) = (self.parent(at)?, behind);
                }
                Some((at, rest))
            }
            name => {
                let known = self.child(from, name).is_some() || self.modules[from].imports.contains_key(name);
                known.then_some((from, path))
            }
        }
    }

    fn glob_has(&self, from: usize, glob: &[String], name: &str) -> bool {
        let Some((mut at, rest)) = self.start(from, glob) else { return false };
        for name in rest {
            let Some(child) = self.child(at, name) else { return false };
            at = child;
        }
        self.modules[at].items.contains(name)
            || self.modules[at].imports.contains_key(name)
            || self.child(at, name).is_some()
    }

    fn child(&self, of: usize, name: &str) -> Option<usize> {
        self.by_path.get(&[&self.modules[of].path[..], &[name.to_owned()]].concat()).copied()
    }

    fn parent(&self, of: usize) -> Option<usize> {
        let (_, parent) = self.modules[of].path.split_last()?;
        self.by_path.get(parent).copied()
    }
}

struct Parser<'read> {
    read: &'read dyn Fn(&Path) -> Option<String>,
    modules: Vec<Module>,
}

impl Parser<'_> {
    /// A module in a file of its own, whose children are in `folder`.
    fn file(&mut self, path: Vec<String>, file: &Path, folder: &Path, text: &str, declared: Declared) {
        let parsed = syn::parse_file(text).unwrap_or_else(|error| {
            panic!("{}:{}: {error}", file.display(), error.span().start().line);
        });
        self.module(path, file, folder, parsed.items, declared);
    }

    fn module(
        &mut self,
        path: Vec<String>,
        file: &Path,
        folder: &Path,
        items: Vec<Item>,
        declared: Declared,
    ) {
        let mut module = Module { path: path.clone(), file: file.to_owned(), declared, ..Module::default() };
        let mut children = Vec::new();
        for item in items {
            if is_test(attributes(&item)) {
                continue;
            }
            match item {
                Item::Mod(child) => children.push(child),
                Item::Use(item) => module.import(&item),
                item => module.declare(&item),
            }
        }
        self.modules.push(module);
        for child in children {
            self.child(&path, file, folder, child);
        }
    }

    fn child(&mut self, parent: &[String], file: &Path, folder: &Path, child: ItemMod) {
        let name = child.ident.to_string();
        let path = [parent, std::slice::from_ref(&name)].concat();
        let declared = Declared::of(&child.ident);
        let own_folder = folder.join(&name);
        if let Some((_, items)) = child.content {
            return self.module(path, file, &own_folder, items, declared);
        }
        let named = path_attribute(&child.attrs)
            .map(|named| file.parent().unwrap_or(folder).join(named))
            .into_iter()
            .chain([folder.join(format!("{name}.rs")), own_folder.join("mod.rs")]);
        for file in named {
            if let Some(text) = (self.read)(&file) {
                let declared = Declared { line: 1, ..declared };
                return self.file(path, &file, &own_folder, &text, declared);
            }
        }
        panic!("{}:{}: module {name} has no file", file.display(), declared.line);
    }
}

impl Module {
    fn import(&mut self, item: &ItemUse) {
        let mut leaves = Vec::new();
        use_leaves(&item.tree, &mut Vec::new(), &mut leaves);
        for leaf in leaves {
            if item.leading_colon.is_some() {
                continue;
            }
            self.references.push(Reference { path: leaf.path.clone(), line: leaf.line });
            match leaf.name {
                Some(name) => self.imports.entry(name).or_default().push(leaf.path),
                None => self.glob_imports.push(leaf.path),
            }
        }
    }

    fn declare(&mut self, item: &Item) {
        let (ident, is_type) = match item {
            Item::Struct(item) => (Some(&item.ident), true),
            Item::Enum(item) => (Some(&item.ident), true),
            Item::Union(item) => (Some(&item.ident), true),
            Item::Trait(item) => (Some(&item.ident), true),
            Item::Type(item) => (Some(&item.ident), true),
            Item::Fn(item) => (Some(&item.sig.ident), false),
            Item::Const(item) => (Some(&item.ident), false),
            Item::Static(item) => (Some(&item.ident), false),
            _ => (None, false),
        };
        if let Some(ident) = ident {
            self.items.insert(ident.to_string());
            if is_type {
                self.types.push(Declared::of(ident));
            }
        }
        ItemVisitor { module: self }.visit_item(item);
    }
}

/// Collects the paths in an item, and the functions declared inside.
struct ItemVisitor<'module> {
    module: &'module mut Module,
}

impl ItemVisitor<'_> {
    fn function(&mut self, ident: &syn::Ident) {
        self.module.functions.push(Declared::of(ident));
    }

    fn constant(&mut self, ident: &syn::Ident) {
        self.module.constants.push(Declared::of(ident));
    }

    fn refer(&mut self, path: Vec<String>, line: usize) {
        if path.len() > 1 && matches!(path[0].as_str(), "crate" | "self" | "super") {
            self.module.references.push(Reference { path, line });
        }
    }

    /// Paths in the tokens of a macro, where `$crate` stands for `crate`.
    fn tokens(&mut self, tokens: TokenStream) {
        let trees: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < trees.len() {
            match &trees[at] {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(ident) if ident == "crate" || ident == "self" || ident == "super" => {
                    let line = ident.span().start().line;
                    let mut path = vec![ident.to_string()];
                    let is_separator = |at: usize| {
                        let is_colon = |at: usize| matches!(trees.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
                        is_colon(at) && is_colon(at + 1)
                    };
                    while is_separator(at + 1) {
                        match trees.get(at + 3) {
                            Some(TokenTree::Ident(ident)) => path.push(ident.to_string()),
                            Some(TokenTree::Group(group)) => {
                                self.use_group(&path, group.stream(), line);
                                break;
                            }
                            _ => break,
                        }
                        at += 3;
                    }
                    self.refer(path, line);
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// `{a::B, c}` after a path in a macro.
    fn use_group(&mut self, prefix: &[String], group: TokenStream, line: usize) {
        let Ok(tree) = syn::parse2::<UseTree>(quote_group(group)) else { return };
        let mut leaves = Vec::new();
        use_leaves(&tree, &mut prefix.to_vec(), &mut leaves);
        for leaf in leaves {
            self.refer(leaf.path, line);
        }
    }
}

impl<'ast> Visit<'ast> for ItemVisitor<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast syn::ImplItem) {
        let attributes = match item {
            syn::ImplItem::Fn(item) => &item.attrs[..],
            syn::ImplItem::Const(item) => &item.attrs[..],
            syn::ImplItem::Type(item) => &item.attrs[..],
            _ => &[],
        };
        if !is_test(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_stmt(&mut self, statement: &'ast syn::Stmt) {
        let attributes = match statement {
            syn::Stmt::Local(local) => &local.attrs[..],
            syn::Stmt::Macro(statement) => &statement.attrs[..],
            _ => &[],
        };
        if !is_test(attributes) {
            visit::visit_stmt(self, statement);
        }
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if !is_test(&field.attrs) {
            visit::visit_field(self, field);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let mut leaves = Vec::new();
        use_leaves(&item.tree, &mut Vec::new(), &mut leaves);
        for leaf in leaves {
            self.refer(leaf.path, leaf.line);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig.ident);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig.ident);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        self.function(&item.sig.ident);
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.constant(&item.ident);
        visit::visit_item_const(self, item);
    }

    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        self.constant(&item.ident);
        visit::visit_item_static(self, item);
    }

    fn visit_impl_item_const(&mut self, item: &'ast syn::ImplItemConst) {
        self.constant(&item.ident);
        visit::visit_impl_item_const(self, item);
    }

    fn visit_trait_item_const(&mut self, item: &'ast syn::TraitItemConst) {
        self.constant(&item.ident);
        visit::visit_trait_item_const(self, item);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            let names = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.refer(names, path.span().start().line);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.tokens(called.tokens.clone());
        visit::visit_macro(self, called);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        // Doc comments may refer to anything.
        if !attribute.path().is_ident("doc")
            && let syn::Meta::List(list) = &attribute.meta
        {
            self.tokens(list.tokens.clone());
            self.quoted_paths(list.tokens.clone());
        }
    }
}

impl ItemVisitor<'_> {
    /// Paths in string arguments of attributes: `#[serde(with = "crate::…")]`.
    fn quoted_paths(&mut self, tokens: TokenStream) {
        for tree in tokens {
            match tree {
                TokenTree::Group(group) => self.quoted_paths(group.stream()),
                TokenTree::Literal(literal) => {
                    let text = literal.to_string();
                    if let Ok(path) = syn::parse_str::<syn::Path>(text.trim_matches('"')) {
                        let names = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
                        self.refer(names, literal.span().start().line);
                    }
                }
                _ => {}
            }
        }
    }
}

fn quote_group(group: TokenStream) -> TokenStream {
    TokenTree::from(proc_macro2::Group::new(proc_macro2::Delimiter::Brace, group)).into()
}

/// One imported path; without a name if it ends in `*`.
struct UseLeaf {
    path: Vec<String>,
    name: Option<String>,
    line: usize,
}

fn use_leaves(tree: &UseTree, prefix: &mut Vec<String>, leaves: &mut Vec<UseLeaf>) {
    let leaf = |ident: &syn::Ident, name: &syn::Ident| {
        let mut path = prefix.clone();
        // `{self, …}` is the prefix itself.
        if ident != "self" || prefix.is_empty() {
            path.push(ident.to_string());
        }
        let name = if name == "self" { path.last().cloned() } else { Some(name.to_string()) };
        UseLeaf { path, name, line: ident.span().start().line }
    };
    match tree {
        UseTree::Name(tree) => leaves.push(leaf(&tree.ident, &tree.ident)),
        UseTree::Rename(tree) => leaves.push(leaf(&tree.ident, &tree.rename)),
        UseTree::Glob(tree) => {
            leaves.push(UseLeaf { path: prefix.clone(), name: None, line: tree.span().start().line });
        }
        UseTree::Group(tree) => {
            for tree in &tree.items {
                use_leaves(tree, prefix, leaves);
            }
        }
        UseTree::Path(tree) => {
            prefix.push(tree.ident.to_string());
            use_leaves(&tree.tree, prefix, leaves);
            prefix.pop();
        }
    }
}

/// Whether attributes restrict an item to tests: `#[test]`, or a `cfg` that cannot be true without `test`.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let path = attribute.path();
        path.segments.last().is_some_and(|segment| segment.ident == "test")
            || (path.is_ident("cfg")
                && attribute.parse_args::<syn::Meta>().is_ok_and(|condition| needs_test(&condition)))
    })
}

fn needs_test(condition: &syn::Meta) -> bool {
    let all = |list: &syn::MetaList| {
        list.parse_args_with(syn::punctuated::Punctuated::<syn::Meta, syn::Token![,]>::parse_terminated)
            .unwrap_or_default()
    };
    match condition {
        syn::Meta::Path(path) => path.is_ident("test"),
        syn::Meta::List(list) if list.path.is_ident("all") => all(list).iter().any(needs_test),
        syn::Meta::List(list) if list.path.is_ident("any") => all(list).iter().all(needs_test),
        _ => false,
    }
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| match &attribute.meta {
        syn::Meta::NameValue(meta) if meta.path.is_ident("path") => match &meta.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(path), .. }) => Some(path.value()),
            _ => None,
        },
        _ => None,
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
