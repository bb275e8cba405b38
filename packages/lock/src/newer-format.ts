/** What a record of a format that this version cannot read is told as. */
import { NewerFormatError, UnexpectedReplyError } from "@holdfast/core";

const supportedFormat = 1;

/**
 * @param found the record's beginning; a format that is no number was written by no version of ours
 * @throws NewerFormatError, UnexpectedReplyError
 */
export function refuseFormat(operation: string, found: string): never {
  const format = found.slice(0, 1);
  if (!/^\d$/u.test(format)) throw new UnexpectedReplyError(operation, "a record of ours", found);
  throw new NewerFormatError(operation, Number(format), supportedFormat);
}
