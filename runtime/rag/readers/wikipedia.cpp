// Wikipedia's dumps, read as they come: bzip2 by libbz2, XML by expat. Nothing but the page at hand is in
// memory.
#include <expat.h>

#include <array>
#include <exception>
#include <memory>

#include "rotor/core/error.h"
#include "runtime/rag/readers/dump_file.h"
#include "runtime/rag/readers/reader.h"
#include "runtime/rag/readers/text.h"
#include "runtime/rag/readers/wikitext.h"

namespace rotor::runtime::rag {
namespace {

constexpr size_t kLongestPage = 64 << 20;

/// RFC 3986's path of a title, in which MediaWiki writes blanks as "_".
std::string as_path(std::string_view title) {
  constexpr std::string_view kPlain = "-._~!$'()*,;:@/";
  constexpr const char* kDigits = "0123456789ABCDEF";
  std::string path;
  for (const char c : title) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == ' ') {
      path += '_';
    } else if (std::isalnum(byte) != 0 || kPlain.find(c) != std::string_view::npos) {
      path += c;
    } else {
      path += {'%', kDigits[byte / 16], kDigits[byte % 16]};
    }
  }
  return path;
}

class DumpReader {
 public:
  DumpReader(const std::string& path, const OnDocument& on_document)
      : path_(path), on_document_(on_document), parser_(XML_ParserCreate(nullptr), XML_ParserFree) {
    if (parser_ == nullptr) fail(path_, ": XML: out of memory");
    XML_SetUserData(parser_.get(), this);
    XML_SetElementHandler(
        parser_.get(),
        [](void* self, const char* name, const char** attributes) {
          guarded(self, [&](DumpReader& reader) { reader.begin(name, attributes); });
        },
        [](void* self, const char* name) { guarded(self, [&](DumpReader& reader) { reader.end(name); }); });
    XML_SetCharacterDataHandler(parser_.get(), [](void* self, const char* text, int size) {
      guarded(self, [&](DumpReader& reader) { reader.take({text, static_cast<size_t>(size)}); });
    });
  }

  /// False when no more is wanted.
  bool parse(const char* bytes, size_t size, bool last) {
    const XML_Status status = XML_Parse(parser_.get(), bytes, static_cast<int>(size), last ? 1 : 0);
    if (thrown_) std::rethrow_exception(thrown_);
    if (stopped_) return false;
    if (status != XML_STATUS_OK) {
      fail(path_, ", line ", XML_GetCurrentLineNumber(parser_.get()),
           ": expected the XML of a Wikipedia dump, found it broken: ",
           XML_ErrorString(XML_GetErrorCode(parser_.get())));
    }
    return true;
  }

  int64_t pages() const { return pages_; }

 private:
  /// An exception cannot pass through expat, which may call once more after it was stopped.
  template <class Body>
  static void guarded(void* self, Body body) {
    auto& reader = *static_cast<DumpReader*>(self);
    if (reader.stopped_) return;
    try {
      body(reader);
    } catch (...) {
      reader.thrown_ = std::current_exception();
      reader.stop();
    }
  }

  void begin(std::string_view element, const char** attributes) {
    ++depth_;
    field_ = nullptr;
    if (element == "page") {
      title_ = id_ = space_ = text_ = "";
      is_redirect_ = false;
      page_depth_ = depth_;
    } else if (page_depth_ == 0) {
      if (element == "base") field_ = &(base_ = "");
      if (element == "namespace" && is_left_out(attributes)) field_ = &(name_ = "");
    } else {
      if (element == "title") field_ = &title_;
      if (element == "ns") field_ = &space_;
      if (element == "id" && depth_ == page_depth_ + 1) field_ = &id_;  // revisions have ids, too
      if (element == "text") field_ = &(text_ = "");                    // of the last revision
      if (element == "redirect") is_redirect_ = true;
    }
  }

  /// Of links into the namespaces of files and categories nothing is shown; what they are called here, the
  /// dump says.
  static bool is_left_out(const char** attributes) {
    for (; *attributes != nullptr; attributes += 2) {
      const std::string_view value = attributes[1];
      if (std::string_view(attributes[0]) == "key" && (value == "6" || value == "14")) return true;
    }
    return false;
  }

  void take(std::string_view text) {
    if (field_ == nullptr) return;
    *field_ += text;
    if (field_->size() > kLongestPage)
      fail(path_, ": page \"", title_.substr(0, 200), "\": expected at most ", kLongestPage,
           " bytes, found more");
  }

  void end(std::string_view element) {
    --depth_;
    if (field_ == &name_) names_.push_back(name_);
    field_ = nullptr;
    if (element != "page" || page_depth_ == 0) return;
    page_depth_ = 0;
    ++pages_;
    const bool is_article = space_.empty() || space_ == "0";
    // Old dumps have no element for it.
    if (is_redirect_ || !is_article || lower_case(trimmed(text_).substr(0, 9)) == "#redirect") return;
    Document document;
    document.id = path_ + "#" + (id_.empty() ? title_ : id_);
    document.title = title_;
    // The address of the main page tells that of the others.
    document.source = base_.empty() ? path_ : base_.substr(0, base_.rfind('/') + 1) + as_path(title_);
    document.metadata = {{"page", title_}};
    document.blocks = read_wikitext(text_, names_);
    if (!on_document_(std::move(document))) stop();
  }

  void stop() {
    stopped_ = true;
    XML_StopParser(parser_.get(), XML_FALSE);
  }

  std::string path_;
  const OnDocument& on_document_;
  std::unique_ptr<XML_ParserStruct, decltype(&XML_ParserFree)> parser_;
  int64_t depth_ = 0;
  int64_t page_depth_ = 0;  // 0: not in a page
  std::string* field_ = nullptr;
  std::string base_;
  std::string name_;
  std::vector<std::string> names_;  // of namespaces that is_left_out() says
  std::string title_;
  std::string id_;
  std::string space_;
  std::string text_;
  bool is_redirect_ = false;
  bool stopped_ = false;
  int64_t pages_ = 0;
  std::exception_ptr thrown_;
};

}  // namespace

void read_wikipedia(const std::string& path, const ReadOptions& options, const OnDocument& on_document) {
  DumpFile file(path);
  DumpReader reader(path, on_document);
  std::array<char, 65536> bytes;
  size_t count = 0;
  while ((count = file.read(bytes.data(), bytes.size())) > 0) {
    if (!reader.parse(bytes.data(), count, false)) return;
    if (options.progress) options.progress(file.position(), file.size());
  }
  if (!reader.parse(bytes.data(), 0, true)) return;
  if (reader.pages() == 0) fail(path, ": expected pages of Wikipedia (<page>), found none");
}

}  // namespace rotor::runtime::rag
