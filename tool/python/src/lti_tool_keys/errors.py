class KeyDirectoryError(Exception):
    """Why there is no key to sign with. The message names the file and the remedy, and contains nothing from a private file.

    The codes are those of the TypeScript library: DirectoryMissing, FileMissing, FileUnreadable, FileMalformed, FilesDisagree,
    NoSigningKey, RecipientKeyMissing, RecipientMismatch and RegistrationIncomplete.
    """

    def __init__(self, code: str, file: str, what: str, remedy: str) -> None:
        super().__init__(f"{file}: {what}; {remedy}")
        self.code = code
        self.file = file
        self.remedy = remedy
        self._what = what

    def again(self) -> "KeyDirectoryError":
        """The same without a traceback, whose frames have what was read, and which grows each time an exception is raised."""
        return KeyDirectoryError(self.code, self.file, self._what, self.remedy)
