// Files become documents: plain text, Markdown, HTML, PDF, JSON lines, and Wikipedia's dumps. What a file is,
// its name and its first bytes say.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/rag/document.h"

namespace rotor::runtime::rag {

enum class FileKind { text, markdown, html, pdf, json_lines, wikipedia };

/// "text", "markdown", ...
const char* name(FileKind kind);
/// Throws Error listing the names.
FileKind file_kind(const std::string& name);

/// By the ending of the name; nothing for one that is not known.
std::optional<FileKind> kind_by_name(const std::string& path);

struct ReadOptions {
  std::optional<FileKind> kind;  ///< none: by name, and text for what has no ending that is known
  std::string encoding;          ///< of texts, as iconv names it; "": UTF-8 if it is, else what it looks like
  /// How far it is: bytes of the file that are read, of how many. Empty: nobody asks.
  std::function<void(int64_t done, int64_t all)> progress;
};

/// Takes a document; false ends the reading.
using OnDocument = std::function<bool(Document document)>;

/// Calls `on_document` for each document of a file, in order; only JSON lines and dumps have several. The
/// path is the document's id and source; of several, "PATH#ID" is the id, with what the file calls it. A text
/// that is empty is a document without blocks. Throws Error naming the file and what is wrong: it is not
/// there, no file, binary, broken, of an unknown encoding, without any text (PDF), or the program that reads
/// it is missing.
void read_documents(const std::string& path, const ReadOptions& options, const OnDocument& on_document);

// What read_documents() is made of; `text` is UTF-8. Documents have neither id nor source yet.

/// Paragraphs, with empty lines between them.
Document read_plain_text(std::string_view text);
/// CommonMark with GitHub's tables and task lists. Front matter (YAML between "---") becomes metadata, its
/// `title` or the first heading of level 1 the title. Throws Error for tables made to be hostile.
Document read_markdown(std::string_view text);
/// As browsers read it; without scripts, styles, navigation, controls and what is hidden. Throws Error for
/// pages made to take time or memory.
Document read_html(std::string_view text);
/// By pdftotext of poppler-utils, which is stopped after `time_limit`. Blocks have pages and no lines.
Document read_pdf(const std::string& path, std::chrono::milliseconds time_limit = std::chrono::minutes(2));
/// Of an object a line: "text" (or content, contents, body), and if they are there "id" (_id, doc_id),
/// "title" and "source" (url); what is in "metadata" and all else becomes metadata. In UTF-8.
void read_json_lines(const std::string& path, const ReadOptions& options, const OnDocument& on_document);
/// XML as Wikipedia exports it, compressed (.bz2, of many streams, too) or not; articles alone, without
/// redirects. At any moment one page is in memory.
void read_wikipedia(const std::string& path, const ReadOptions& options, const OnDocument& on_document);

/// `bytes` as UTF-8 without a byte order mark. `encoding`: as in ReadOptions; `path` for errors.
std::string to_utf8(std::string_view bytes, const std::string& encoding, const std::string& path);

}  // namespace rotor::runtime::rag
