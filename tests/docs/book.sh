#!/bin/sh
# Builds docs/ as a book with mdBook, and checks every relative link and anchor, in the Markdown files and in the book, without the network.
#
#     sh tests/docs/book.sh target
#
# $1 is the folder for the tools and the book. The book is laid out as the repository is: the pages are in target/book/docs, and beside them
# are copies of the files that they link to.
set -eu

target=${1:?name a folder to build into, for instance target}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$target"
target=$(cd "$target" && pwd)
book=$target/book
cd "$here/../.."

mdbook=$(sh "$here/tool.sh" mdbook 0.5.4 "$target/docs-tools" --no-default-features --features search)
lychee=$(sh "$here/tool.sh" lychee 0.24.2 "$target/docs-tools" --no-default-features)

# $1 says what is checked; the rest are files.
check_links() {
    what=$1
    shift
    "$lychee" --config "$here/lychee.toml" -- "$@" || {
        echo "error: $what have broken links: see above for the file and the link" >&2
        exit 1
    }
}

files=$(git ls-files --cached --others --exclude-standard -- '*.md')
# shellcheck disable=SC2086 # One word for each file; no name has a space.
check_links "Markdown files" $files

for file in $files; do
    case $file in docs/SUMMARY.md) continue ;; docs/*) ;; *) continue ;; esac
    grep -qF "](${file#docs/})" docs/SUMMARY.md || {
        echo "error: $file is not in the book: add it to docs/SUMMARY.md" >&2
        exit 1
    }
done

rm -rf "$book"
"$mdbook" build docs --dest-dir "$book/docs"

# The files that pages may link to. mdBook turns a link to a Markdown file into one to an .html file, also if that file is no page of the
# book; so the text of such a file is put there.
git ls-files --cached --others --exclude-standard -z -- ':!docs' ':!*.wasm' ':!*.gz' ':!*/corpus/*' |
    tar --create --null --files-from - --ignore-failed-read | tar --extract --directory "$book"
for file in $files; do
    case $file in docs/*) continue ;; esac
    {
        printf '<!DOCTYPE html><meta charset="utf-8"><title>%s</title>\n<pre>\n' "$file"
        sed 's/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g' "$file"
        printf '</pre>\n'
    } >"$book/${file%.md}.html"
done
printf '<!DOCTYPE html><meta charset="utf-8"><title>Damper</title><meta http-equiv="refresh" content="0; url=docs/index.html">\n' >"$book/index.html"

pages=$(find "$book/docs" -name '*.html' ! -name 404.html ! -name toc.html)
# shellcheck disable=SC2086
check_links "pages of the book" $pages
echo "book: $book/index.html, without broken links"
