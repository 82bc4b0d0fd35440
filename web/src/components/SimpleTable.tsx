// A plain table for some tens of rows, read and not worked with; DataGrid is for lists of things that can be opened.
import type { ReactNode } from 'react';
import classes from './SimpleTable.module.css';

export interface SimpleColumn<T> {
  header: string;
  cell: (row: T) => ReactNode;
  isNumber?: boolean;
  isMono?: boolean;
  title?: (row: T) => string;
}

interface Props<T> {
  caption: string;
  columns: SimpleColumn<T>[];
  rows: T[];
  rowKey: (row: T) => string;
  /** Something is wrong with this row. */
  isMarked?: (row: T) => boolean;
  /** On a phone each row stands as a block of its own (browsers still tell of it as a table). */
  stacks?: boolean;
}

export function SimpleTable<T>({ caption, columns, rows, rowKey, isMarked, stacks }: Props<T>) {
  return (
    <table className={classes['table']} data-stacks={stacks}>
      <caption>{caption}</caption>
      <thead>
        <tr>
          {columns.map(({ header, isNumber }) => (
            <th key={header} scope="col" data-number={isNumber}>
              {header}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={rowKey(row)} data-marked={isMarked?.(row) || undefined}>
            {columns.map(({ header, cell, isNumber, isMono, title }) => (
              <td
                key={header}
                data-label={header}
                data-number={isNumber}
                className={isMono ? 'nx-mono' : undefined}
                title={title?.(row)}
              >
                {cell(row)}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
