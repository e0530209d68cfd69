// Wikipedia's dumps, read as they come: bzip2 by libbz2, XML by expat. Nothing but the page at hand is in
// memory.
#include <bzlib.h>
#include <expat.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <memory>

#include "rotor/core/error.h"
#include "runtime/rag/readers/reader.h"
#include "runtime/rag/readers/wikitext.h"

namespace rotor::runtime::rag {
namespace {

constexpr size_t kLongestPage = 64 << 20;

/// The bytes of a file, unpacked if it is packed; a dump is many bzip2 streams one after another.
class DumpFile {
 public:
  explicit DumpFile(const std::string& path)
      : path_(path), file_(std::fopen(path.c_str(), "rb"), std::fclose) {
    if (file_ == nullptr) fail(path, ": cannot be read: ", std::strerror(errno));
    std::fseek(file_.get(), 0, SEEK_END);
    size_ = std::ftell(file_.get());
    std::rewind(file_.get());
    std::array<char, 3> magic = {};
    packed_ = std::fread(magic.data(), 1, 3, file_.get()) == 3 && std::memcmp(magic.data(), "BZh", 3) == 0;
    std::rewind(file_.get());
  }
  ~DumpFile() {
    if (open_) BZ2_bzDecompressEnd(&stream_);
  }
  DumpFile(const DumpFile&) = delete;
  DumpFile& operator=(const DumpFile&) = delete;

  int64_t size() const { return size_; }
  int64_t position() const { return std::ftell(file_.get()); }

  /// 0 at the end.
  size_t read(char* bytes, size_t size) { return packed_ ? unpack(bytes, size) : read_file(bytes, size); }

 private:
  size_t read_file(char* bytes, size_t size) {
    const size_t count = std::fread(bytes, 1, size, file_.get());
    if (count == 0 && std::ferror(file_.get()) != 0) fail(path_, ": reading failed: ", std::strerror(errno));
    return count;
  }

  size_t unpack(char* bytes, size_t size) {
    while (true) {
      if (stream_.avail_in == 0) {
        stream_.avail_in = static_cast<unsigned>(read_file(input_.data(), input_.size()));
        stream_.next_in = input_.data();
        if (stream_.avail_in == 0) {
          if (open_) fail(path_, ": the file ends in the middle; is its download complete?");
          return 0;
        }
      }
      if (!open_) {
        char* const next = stream_.next_in;
        const unsigned left = stream_.avail_in;
        stream_ = {};
        if (BZ2_bzDecompressInit(&stream_, 0, 0) != BZ_OK) fail(path_, ": bzip2: out of memory");
        stream_.next_in = next;
        stream_.avail_in = left;
        open_ = true;
      }
      stream_.next_out = bytes;
      stream_.avail_out = static_cast<unsigned>(size);
      const int result = BZ2_bzDecompress(&stream_);
      if (result == BZ_STREAM_END) {
        char* const next = stream_.next_in;
        const unsigned left = stream_.avail_in;
        const unsigned room = stream_.avail_out;
        BZ2_bzDecompressEnd(&stream_);
        open_ = false;
        stream_ = {};
        stream_.next_in = next;
        stream_.avail_in = left;
        if (room < size) return size - room;
        continue;
      }
      if (result != BZ_OK) fail(path_, ": byte ", position(), ": no bzip2 data, or damaged");
      if (stream_.avail_out < size) return size - stream_.avail_out;
    }
  }

  std::string path_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
  int64_t size_ = 0;
  bool packed_ = false;
  bool open_ = false;
  bz_stream stream_ = {};
  std::array<char, 65536> input_ = {};
};

class DumpReader {
 public:
  DumpReader(const std::string& path, const OnDocument& on_document)
      : path_(path), on_document_(on_document), parser_(XML_ParserCreate(nullptr), XML_ParserFree) {
    XML_SetUserData(parser_.get(), this);
    XML_SetElementHandler(
        parser_.get(),
        [](void* self, const char* name, const char**) { static_cast<DumpReader*>(self)->begin(name); },
        [](void* self, const char* name) { static_cast<DumpReader*>(self)->end(name); });
    XML_SetCharacterDataHandler(parser_.get(), [](void* self, const char* text, int size) {
      static_cast<DumpReader*>(self)->take({text, static_cast<size_t>(size)});
    });
  }

  /// False when no more is wanted.
  bool parse(const char* bytes, size_t size, bool last) {
    const XML_Status status = XML_Parse(parser_.get(), bytes, static_cast<int>(size), last ? 1 : 0);
    if (thrown_) std::rethrow_exception(thrown_);
    if (stopped_) return false;
    if (status != XML_STATUS_OK) {
      fail(path_, ", line ", XML_GetCurrentLineNumber(parser_.get()),
           ": no XML of Wikipedia's kind: ", XML_ErrorString(XML_GetErrorCode(parser_.get())));
    }
    return true;
  }

  int64_t pages() const { return pages_; }

 private:
  void begin(std::string_view element) {
    ++depth_;
    field_ = nullptr;
    if (element == "page") {
      title_ = id_ = space_ = text_ = "";
      is_redirect_ = false;
      page_depth_ = depth_;
    } else if (page_depth_ > 0) {
      if (element == "title") field_ = &title_;
      if (element == "ns") field_ = &space_;
      if (element == "id" && depth_ == page_depth_ + 1) field_ = &id_;  // revisions have ids, too
      if (element == "text") field_ = &text_;
      if (element == "redirect") is_redirect_ = true;
    }
  }

  void take(std::string_view text) {
    if (field_ == nullptr) return;
    *field_ += text;
    if (field_->size() > kLongestPage)
      stop_with(cat("page \"", title_, "\": longer than ", kLongestPage, " bytes"));
  }

  void end(std::string_view element) {
    --depth_;
    field_ = nullptr;
    if (element != "page") return;
    page_depth_ = 0;
    ++pages_;
    if (is_redirect_ || (!space_.empty() && space_ != "0")) return;
    Document document;
    document.id = path_ + "#" + (id_.empty() ? title_ : id_);
    document.title = title_;
    document.source = title_;
    document.metadata = {{"page", title_}};
    // An exception cannot pass through expat.
    try {
      document.blocks = read_wikitext(text_);
      if (!on_document_(std::move(document))) stop();
    } catch (...) {
      thrown_ = std::current_exception();
      stop();
    }
  }

  void stop() {
    stopped_ = true;
    XML_StopParser(parser_.get(), XML_FALSE);
  }
  void stop_with(const std::string& message) {
    thrown_ = std::make_exception_ptr(Error(path_ + ": " + message));
    stop();
  }

  std::string path_;
  const OnDocument& on_document_;
  std::unique_ptr<XML_ParserStruct, decltype(&XML_ParserFree)> parser_;
  int64_t depth_ = 0;
  int64_t page_depth_ = 0;  // 0: not in a page
  std::string* field_ = nullptr;
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
  reader.parse(bytes.data(), 0, true);
  if (reader.pages() == 0) fail(path, ": expected pages of Wikipedia, found none");
}

}  // namespace rotor::runtime::rag
