// uPlot behind React: stepped lines (a value holds until the next), hatched where the quality was bad, drag to zoom. Colours from the tokens.
import { useComputedColorScheme } from '@mantine/core';
import { useEffect, useRef } from 'react';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { badRanges, type PenColumns } from './trendData';

export interface Pen {
  label: string;
  unit: string;
}

interface Props {
  pens: Pen[];
  columns: PenColumns[];
  from: number;
  to: number;
  height: number;
  label: string;
  onZoom?: (from: number, to: number) => void;
  onCursor?: (t: number | null) => void;
}

const DASHES: number[][] = [[], [8, 4], [2, 3], [10, 3, 2, 3]];
const css = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
export const penColor = (i: number) => `var(--nx-pen-${(i % 8) + 1})`;

/** Joins the pens onto one time axis: uPlot has a single x column. */
function align(columns: PenColumns[]): uPlot.AlignedData {
  if (columns.length === 0) return [[]];
  const tables = columns.map((c): uPlot.AlignedData => [c.t.map((t) => t / 1000), c.v]);
  // A null of a pen (bad value) stays a gap; times at which only other pens have a value are stepped over.
  return uPlot.join(
    tables,
    tables.map(() => [0, 1]),
  );
}

function hatch(u: uPlot, columns: PenColumns[]): void {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.strokeStyle = css('--nx-hatch');
  ctx.lineWidth = 1;
  for (const [from, to] of badRanges(columns)) {
    const left = u.valToPos(from / 1000, 'x', true);
    const right = Math.max(left + 2, u.valToPos(to / 1000, 'x', true));
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, bbox.top, right - left, bbox.height);
    ctx.clip();
    ctx.beginPath();
    for (let x = left - bbox.height; x < right; x += 7) {
      ctx.moveTo(x, bbox.top + bbox.height);
      ctx.lineTo(x + bbox.height, bbox.top);
    }
    ctx.stroke();
    ctx.restore();
  }
  ctx.restore();
}

export function TrendChart({ pens, columns, from, to, height, label, onZoom, onCursor }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef({ columns, from, to, onZoom, onCursor });
  latest.current = { columns, from, to, onZoom, onCursor };
  const scheme = useComputedColorScheme('light');
  const shape = pens.map((p) => `${p.label} ${p.unit}`).join('|');

  useEffect(() => {
    const element = host.current;
    if (!element) return undefined;
    const units = [...new Set(shape.split('|').map((p) => p.slice(p.lastIndexOf(' ') + 1)))];
    const scaleOf = (i: number) => `y${Math.max(0, units.indexOf(shape.split('|')[i]?.split(' ').at(-1) ?? ''))}`;
    const count = shape === '' ? 0 : shape.split('|').length;
    const ink = css('--nx-muted');
    const grid = { stroke: css('--nx-hairline'), width: 1 };
    const font = "12px 'IBM Plex Sans', sans-serif";
    const path = uPlot.paths.stepped?.({ align: 1 });
    const series: uPlot.Series[] = [{}];
    for (let i = 0; i < count; i++) {
      const color = css(`--nx-pen-${(i % 8) + 1}`);
      const dash = DASHES[i % DASHES.length];
      series.push({ scale: scaleOf(i), paths: path, points: { show: false }, stroke: color, width: 1.5, dash });
    }
    const axis = (i: number): uPlot.Axis => ({
      scale: `y${i}`,
      side: i % 2 === 0 ? 3 : 1,
      stroke: ink,
      font,
      grid: i === 0 ? grid : { show: false },
      ticks: grid,
      size: (_, values) => 22 + 7 * Math.max(3, ...(values ?? []).map((v) => v.length)),
      label: units[i] || undefined,
      labelFont: font,
      labelSize: units[i] ? 18 : 0,
    });
    const u = new uPlot(
      {
        width: element.clientWidth,
        height,
        series,
        legend: { show: false },
        cursor: {
          drag: { x: latest.current.onZoom !== undefined, y: false, setScale: false },
          points: { show: false },
        },
        scales: { x: { time: true, range: () => [latest.current.from / 1000, latest.current.to / 1000] } },
        axes: [
          {
            stroke: ink,
            font,
            grid,
            ticks: grid,
            values: (_, ticks, __, ___, incr) => ticks.map((t) => axisTime(t, incr)),
          },
          ...units.map((_, i) => axis(i)),
        ],
        hooks: {
          drawClear: [(self) => hatch(self, latest.current.columns)],
          setSelect: [
            (self) => {
              if (self.select.width < 4) return;
              const a = self.posToVal(self.select.left, 'x') * 1000;
              const b = self.posToVal(self.select.left + self.select.width, 'x') * 1000;
              self.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
              latest.current.onZoom?.(Math.round(a), Math.round(b));
            },
          ],
          setCursor: [
            (self) => {
              const { left } = self.cursor;
              latest.current.onCursor?.(left === undefined || left < 0 ? null : self.posToVal(left, 'x') * 1000);
            },
          ],
        },
      },
      align(latest.current.columns),
      element,
    );
    plot.current = u;
    const observer = new ResizeObserver(() => u.setSize({ width: element.clientWidth, height }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      u.destroy();
      plot.current = null;
    };
  }, [shape, height, scheme]);

  useEffect(() => {
    plot.current?.setData(align(columns));
  }, [columns, from, to]);

  return <div ref={host} role="img" aria-label={label} style={{ height }} />;
}

const two = (n: number) => String(n).padStart(2, '0');

function axisTime(seconds: number, step: number): string {
  const d = new Date(seconds * 1000);
  const clock = `${two(d.getHours())}:${two(d.getMinutes())}`;
  if (step < 60) return `${clock}:${two(d.getSeconds())}`;
  const isMidnight = d.getHours() === 0 && d.getMinutes() === 0;
  return step >= 86_400 || isMidnight ? `${two(d.getMonth() + 1)}-${two(d.getDate())}` : clock;
}
