// Loads the module that lies beside the program, in a scope where its own symbols come first.
#include <dlfcn.h>

#include <filesystem>

#include "rotor/core/error.h"
#include "rotor/text/sentencepiece.h"

namespace rotor::text {
namespace {

using Open = void* (*)(const char*, int);

/// AddressSanitizer's dlopen refuses RTLD_DEEPBIND, as such a module may find another malloc; this one is
/// built with the sanitizer too and finds the same. So the C library's own is called.
Open system_dlopen() {
#ifdef __SANITIZE_ADDRESS__
  if (void* libc = dlopen("libc.so.6", RTLD_LAZY)) return reinterpret_cast<Open>(dlsym(libc, "dlopen"));
#endif
  return dlopen;
}

const SentencePieceModule& module() {
  static const SentencePieceModule& loaded = []() -> const SentencePieceModule& {
    const auto program = std::filesystem::read_symlink("/proc/self/exe");
    const std::string path = program.parent_path() / kSentencePieceModuleFile;
    int flags = RTLD_NOW | RTLD_LOCAL;
#ifdef RTLD_DEEPBIND
    flags |= RTLD_DEEPBIND;
#endif
    void* handle = system_dlopen()(path.c_str(), flags);
    if (handle == nullptr) fail(path, ": cannot load the SentencePiece module: ", dlerror());
    void* entry = dlsym(handle, kSentencePieceModuleEntry);
    if (entry == nullptr) fail(path, ": not Rotor's SentencePiece module: ", dlerror());
    return *reinterpret_cast<const SentencePieceModule* (*)()>(entry)();
  }();
  return loaded;
}

}  // namespace

std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(std::string_view model, const std::string& path) {
  return module().make_tokenizer(model, path);
}

std::string train_sentencepiece(const SentencePieceOptions& options, const NextText& texts) {
  return module().train(options, texts);
}

}  // namespace rotor::text
