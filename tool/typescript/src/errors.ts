/** README.md describes each of them. */
export type KeyDirectoryErrorCode =
  | 'DirectoryMissing'
  | 'FileMissing'
  | 'FileUnreadable'
  | 'FileMalformed'
  | 'FilesDisagree'
  | 'NoSigningKey'
  | 'RecipientKeyMissing'
  | 'RecipientMismatch'
  | 'RegistrationIncomplete'
  | 'Closed';

/** Why there is no key to sign with. The message names the file and the remedy, and contains nothing from a private file. */
export class KeyDirectoryError extends Error {
  override readonly name = 'KeyDirectoryError';
  readonly code: KeyDirectoryErrorCode;
  readonly file: string;
  readonly remedy: string;

  constructor(code: KeyDirectoryErrorCode, file: string, what: string, remedy: string) {
    super(`${file}: ${what}; ${remedy}`);
    this.code = code;
    this.file = file;
    this.remedy = remedy;
  }
}
