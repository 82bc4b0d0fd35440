// The table of the product: sorted, virtual (only visible rows exist), walked with the keyboard, on TanStack Table.
// Rows are links to what they stand for: Enter or click opens.
import {
  type ColumnDef,
  createSortedRowModel,
  rowSortingFeature,
  type SortingState,
  sortFn_alphanumeric,
  tableFeatures,
  useTable,
} from '@tanstack/react-table';
import { useVirtualizer } from '@tanstack/react-virtual';
import { IconArrowDown, IconArrowUp } from '@tabler/icons-react';
import { type KeyboardEvent, memo, type ReactNode, useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { useTranslation } from 'react-i18next';
import classes from './DataGrid.module.css';

const features = tableFeatures({
  rowSortingFeature,
  sortedRowModel: createSortedRowModel(),
  sortFns: { alphanumeric: sortFn_alphanumeric },
});

export interface GridColumn<T> {
  id: string;
  header: string;
  cell: (row: T) => ReactNode;
  /** What it is sorted by; without it the column cannot be sorted. */
  sortBy?: (row: T) => string | number | boolean;
  /** A CSS grid track, as `minmax(120px, 2fr)`. */
  width: string;
  align?: 'right';
}

interface Props<T> {
  label: string;
  rows: T[];
  rowId: (row: T) => string;
  /** Keep the array between renders (useMemo): rows are drawn anew when it changes. */
  columns: GridColumn<T>[];
  onOpen?: (row: T) => void;
  selectedId?: string;
}

const ROW_PX = 32;
const PAGE_ROWS = 15;

export function DataGrid<T extends object>({ label, rows, rowId, columns, onOpen, selectedId }: Props<T>) {
  const { t } = useTranslation();
  const [sorting, setSorting] = useState<SortingState>([]);
  const scroller = useRef<HTMLDivElement>(null);
  const [active, setActive] = useState(0);
  const hasFocus = useRef(false);

  const definitions = useMemo(
    () =>
      columns.map((c): ColumnDef<typeof features, T> => ({
        id: c.id,
        accessorFn: c.sortBy ?? (() => ''),
        enableSorting: c.sortBy !== undefined,
        sortFn: 'alphanumeric',
      })),
    [columns],
  );
  const table = useTable({
    features,
    data: rows,
    columns: definitions,
    getRowId: rowId,
    state: { sorting },
    onSortingChange: setSorting,
  });
  const sorted = table.getRowModel().rows;

  const virtual = useVirtualizer({
    count: sorted.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_PX,
    overscan: 10,
    initialRect: { width: 1200, height: 800 },
  });

  const current = Math.min(active, sorted.length - 1);
  useEffect(() => {
    if (hasFocus.current) scroller.current?.querySelector<HTMLElement>(`[data-index="${current}"]`)?.focus();
  }, [current]);

  const go = (index: number) => {
    const next = Math.max(0, Math.min(sorted.length - 1, index));
    hasFocus.current = true;
    virtual.scrollToIndex(next);
    setActive(next);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (!(event.target as HTMLElement).dataset['index']) return;
    const moves: Record<string, number> = {
      ArrowDown: current + 1,
      ArrowUp: current - 1,
      PageDown: current + PAGE_ROWS,
      PageUp: current - PAGE_ROWS,
      Home: 0,
      End: sorted.length - 1,
    };
    const target = moves[event.key];
    const row = sorted[current];
    if (target !== undefined) go(target);
    else if (event.key === 'Enter' && onOpen && row) onOpen(row.original);
    else return;
    event.preventDefault();
  };

  const template = columns.map((c) => c.width).join(' ');
  const latestOpen = useRef(onOpen);
  latestOpen.current = onOpen;
  const open = useCallback((row: T) => latestOpen.current?.(row), []);
  return (
    <div ref={scroller} className={classes['scroller']}>
      <div
        role="grid"
        aria-label={label}
        aria-rowcount={sorted.length + 1}
        aria-colcount={columns.length}
        className={classes['grid']}
        tabIndex={-1}
        onKeyDown={onKeyDown}
        onBlur={() => (hasFocus.current = false)}
      >
        <div role="rowgroup" className={classes['head']}>
          <div role="row" aria-rowindex={1} className={classes['row']} style={{ gridTemplateColumns: template }}>
            {columns.map((c) => {
              const order = table.getColumn(c.id)?.getIsSorted() ?? false;
              return (
                <div
                  key={c.id}
                  role="columnheader"
                  data-align={c.align}
                  className={classes['cell']}
                  aria-sort={order === false ? undefined : order === 'asc' ? 'ascending' : 'descending'}
                >
                  {c.sortBy ? (
                    <button
                      type="button"
                      className={classes['sort']}
                      onClick={() => table.getColumn(c.id)?.toggleSorting()}
                      title={t('grid.sort_by', { column: c.header })}
                    >
                      {c.header}
                      {order === 'asc' && <IconArrowUp size={13} aria-hidden />}
                      {order === 'desc' && <IconArrowDown size={13} aria-hidden />}
                    </button>
                  ) : (
                    <span className={classes['label']}>{c.header}</span>
                  )}
                </div>
              );
            })}
          </div>
        </div>
        <div role="rowgroup" className={classes['body']} style={{ height: virtual.getTotalSize() }}>
          {virtual.getVirtualItems().map((item) => {
            const row = sorted[item.index];
            if (!row) return null;
            const id = rowId(row.original);
            return (
              <GridRow
                key={id}
                row={row.original}
                index={item.index}
                start={item.start}
                columns={columns}
                template={template}
                isCurrent={item.index === current}
                isSelected={selectedId === undefined ? undefined : selectedId === id}
                onFocus={setActive}
                onOpen={onOpen && open}
              />
            );
          })}
        </div>
      </div>
    </div>
  );
}

interface RowProps<T> {
  row: T;
  index: number;
  start: number;
  columns: GridColumn<T>[];
  template: string;
  isCurrent: boolean;
  isSelected: boolean | undefined;
  onFocus: (index: number) => void;
  onOpen: ((row: T) => void) | undefined;
}

function PlainGridRow<T>({
  row,
  index,
  start,
  columns,
  template,
  isCurrent,
  isSelected,
  onFocus,
  onOpen,
}: RowProps<T>) {
  return (
    <div
      role="row"
      aria-rowindex={index + 2}
      aria-selected={isSelected}
      data-index={index}
      data-openable={onOpen ? true : undefined}
      tabIndex={isCurrent ? 0 : -1}
      className={classes['row']}
      style={{ gridTemplateColumns: template, transform: `translateY(${start}px)` }}
      onFocus={() => onFocus(index)}
      onClick={(event) => {
        if (!(event.target as HTMLElement).closest('button, a, input')) onOpen?.(row);
      }}
    >
      {columns.map((c) => (
        <div key={c.id} role="gridcell" data-align={c.align} className={classes['cell']}>
          {c.cell(row)}
        </div>
      ))}
    </div>
  );
}

/** Scrolling draws the grid for every frame; rows that stay must cost nothing. */
const GridRow = memo(PlainGridRow) as typeof PlainGridRow;
