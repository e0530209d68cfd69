// PDF: pages, names of files that a shell or an option would take for something else, PDFs that cannot be
// read, and pdftotext missing, failing, or not coming to an end.
#include <sys/stat.h>

#include <chrono>
#include <cstdlib>

#include "tests/rag/pdf_file.h"
#include "tests/rag/readers_fixture.h"

namespace rotor::test {
namespace {

/// PATH for this object's life.
class ProgramPath {
 public:
  explicit ProgramPath(const std::string& path) : before_(std::getenv("PATH")) {
    setenv("PATH", path.c_str(), 1);
  }
  ~ProgramPath() { setenv("PATH", before_.c_str(), 1); }
  ProgramPath(const ProgramPath&) = delete;
  ProgramPath& operator=(const ProgramPath&) = delete;

 private:
  std::string before_;
};

class PdfReader : public ReaderTest {
 protected:
  /// A folder with a program "pdftotext" that is this script.
  std::string folder_with(const std::string& script) const {
    const std::string folder = dir_.file("programs");
    std::filesystem::create_directory(folder);
    write_bytes(folder + "/pdftotext", "#!/bin/sh\n" + script);
    chmod((folder + "/pdftotext").c_str(), 0700);
    return folder + ":/usr/bin:/bin";
  }
  std::string bees() const { return write("bees.pdf", pdf_file({{"Bees fly."}})); }
};

TEST_F(PdfReader, PagesHaveTheirNumber) {
  const rag::Document document = read_bytes_as(
      "bees.pdf", pdf_file({{"Bees fly.", "Queens lay eggs."}, {}, {"Caf\\351 on page three."}}));
  EXPECT_EQ(outline(document), "p/1 Bees fly.\np/1 Queens lay eggs.\np/3 Caf\u00e9 on page three.\n");
  EXPECT_EQ(document.title, "bees");
}

TEST_F(PdfReader, NamesAreNeitherOptionsNorCommands) {
  const std::string before = std::filesystem::current_path();
  std::filesystem::current_path(dir_.path());
  for (const char* name :
       {"-listenc.pdf", "-", "a b;touch bad.pdf", "$(touch bad).pdf", "'quoted\".pdf", "new\nline.pdf"}) {
    write_bytes(name, pdf_file({{"Bees fly."}}));
    EXPECT_EQ(outline(read(name, {.kind = rag::FileKind::pdf})), "p/1 Bees fly.\n") << name;
  }
  EXPECT_FALSE(std::filesystem::exists("bad"));
  EXPECT_FALSE(std::filesystem::exists("bad.pdf"));
  std::filesystem::current_path(before);
}

TEST_F(PdfReader, ScansSayThatTheyNeedRecognition) {
  expect_error(
      [&] {
        read_bytes_as("scan.pdf", pdf_file({{}, {}}));
      },
      {"scan.pdf: there is no text in this PDF (pages: 2)", "text recognition"});
}

TEST_F(PdfReader, EncryptedOnesSayHowToDecrypt) {
  // Made up: no password opens it.
  const std::string nothing(64, '7');
  const std::string encryption =
      "<< /Filter /Standard /V 1 /R 2 /O <" + nothing + "> /U <" + nothing + "> /P -4 >>";
  expect_error([&] { read_bytes_as("secret.pdf", pdf_file({{"Bees."}}, encryption)); },
               {"secret.pdf: the PDF is encrypted", "qpdf --decrypt"});
}

TEST_F(PdfReader, BrokenOnesSayWhy) {
  expect_error([&] { read_bytes_as("no.pdf", "Bees fly."); }, {"no.pdf: expected a PDF (%PDF- in its first"});
  expect_error([&] { read_bytes_as("cut.pdf", "%PDF-1.4\n1 0 obj\n<< /Type"); },
               {"cut.pdf: the PDF cannot be read: Syntax"});
  // Whatever is cut off or turned, it is read or refused.
  const std::string whole = pdf_file({{"Bees fly."}, {"Queens."}});
  int refused = 0;
  for (size_t i = 1; i < 24; ++i) {
    std::string broken = whole;
    i % 2 == 0 ? broken.resize(whole.size() * i / 24) : void(broken[whole.size() * i / 24] ^= 0x15);
    try {
      read_bytes_as("broken.pdf", broken);
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find("broken.pdf: "), std::string::npos) << e.what();
      ++refused;
    }
  }
  EXPECT_GT(refused, 0);
}

TEST_F(PdfReader, WithoutPdftotextThePackageIsNamed) {
  const std::string path = bees();
  const ProgramPath nowhere(dir_.file("nowhere"));
  expect_error([&] { read(path); },
               {"bees.pdf", "pdftotext, which cannot be started", "install poppler-utils"});
}

TEST_F(PdfReader, WhatDoesNotEndIsStopped) {
  const std::string path = bees();
  const std::string pid_file = dir_.file("pid");
  for (const char* script :
       {"echo $$ > PID\nexec sleep 600\n", "echo $$ > PID\nexec 1>&- 2>&-\nexec sleep 600\n",
        "echo $$ > PID\nexec yes\n"}) {
    std::string with_pid = script;
    with_pid.replace(with_pid.find("PID"), 3, pid_file);
    const ProgramPath programs(folder_with(with_pid));
    const auto begin = std::chrono::steady_clock::now();
    expect_error([&] { rag::read_pdf(path, std::chrono::milliseconds(1000)); }, {"bees.pdf: "});
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30));
    EXPECT_NE(kill(std::stoi(read_bytes(pid_file)), 0), 0) << "it still runs";
  }
  const ProgramPath programs(folder_with("exec sleep 600\n"));
  expect_error([&] { rag::read_pdf(path, std::chrono::milliseconds(1000)); },
               {"took longer than 1 s, and was stopped"});
}

TEST_F(PdfReader, WhatItSaysIsPassedOn) {
  const std::string path = bees();
  {
    const ProgramPath programs(folder_with("echo 'Out of bees' >&2\nexit 1\n"));
    expect_error([&] { read(path); }, {"bees.pdf: the PDF cannot be read: Out of bees"});
  }
  {
    const ProgramPath programs(folder_with("kill -SEGV $$\n"));
    expect_error([&] { read(path); }, {"bees.pdf: the PDF cannot be read: pdftotext was ended by signal 11"});
  }
  {
    const ProgramPath programs(folder_with("exit 7\n"));
    expect_error([&] { read(path); }, {"pdftotext ended with status 7"});
  }
  // Fonts of broken PDFs make bytes that are no UTF-8; much on both streams at once does not block.
  const ProgramPath programs(
      folder_with("printf 'a\\377b\\0c\\n\\f'\n"
                  "head -c 300000 /dev/zero | tr '\\0' e >&2\n"
                  "head -c 300000 /dev/zero | tr '\\0' t\n"));
  const rag::Document document = read(path);
  ASSERT_EQ(document.blocks.size(), 2U);
  EXPECT_EQ(document.blocks[0].text,
            "a\uFFFD"
            "b c");
  EXPECT_EQ(document.blocks[1].text.size(), 300000U);
  EXPECT_EQ(document.blocks[1].place.page, 2);
}

}  // namespace
}  // namespace rotor::test
